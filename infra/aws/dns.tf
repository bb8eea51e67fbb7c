# The zone is made first; the names in it once the entry's load balancer has told its own (load_balancer_dns_name).
# They change when the load balancer is made anew, which is seldom: a controller that may write to the zone all the
# time (external-dns) would be one more to run and to trust.

resource "aws_route53_zone" "main" {
  # checkov:skip=CKV2_AWS_38:DNSSEC asks for a DS record where the domain is registered, which may be anywhere; see docs/deployment.md
  # checkov:skip=CKV2_AWS_39:Query logs would have to be in us-east-1 whatever the region, and tell what the load balancer's metrics tell
  name = var.domain
}

# Let's Encrypt, and nobody else, may issue for the domain.
resource "aws_route53_record" "caa" {
  zone_id = aws_route53_zone.main.zone_id
  name    = var.domain
  type    = "CAA"
  ttl     = 3600
  records = ["0 issue \"letsencrypt.org\"", "0 iodef \"mailto:${var.alarm_email}\""]
}

data "aws_lb_hosted_zone_id" "entry" {
  load_balancer_type = "network"
}

resource "aws_route53_record" "host" {
  # checkov:skip=CKV2_AWS_23:Leads to the load balancer that the cluster makes for its entry, which is not in this code
  for_each = var.load_balancer_dns_name == "" ? [] : var.hosts
  zone_id  = aws_route53_zone.main.zone_id
  name     = "${each.key}.${var.domain}"
  type     = "A"
  alias {
    name                   = var.load_balancer_dns_name
    zone_id                = data.aws_lb_hosted_zone_id.entry.id
    evaluate_target_health = true
  }
}
