# What the overlay in infra/kubernetes/overlays/aws and the repository's environments are told. No value is a secret.

locals {
  # An ARN ends with the name, a hyphen and six characters of Secrets Manager's.
  database_secret_name = regex(":secret:(.+)-[^-]{6}$", aws_db_instance.main.master_user_secret[0].secret_arn)[0]
}

output "region" {
  description = "AWS region"
  value       = var.region
}

output "domain" {
  description = "Domain of the service"
  value       = var.domain
}

output "name_servers" {
  description = "To be entered where the domain is registered"
  value       = aws_route53_zone.main.name_servers
}

output "zone_id" {
  description = "Hosted zone, for cert-manager's DNS01 solver"
  value       = aws_route53_zone.main.zone_id
}

output "cluster_name" {
  description = "For `aws eks update-kubeconfig --name`"
  value       = aws_eks_cluster.main.name
}

output "ecr_repository_url" {
  description = "Where the image is pushed to and pulled from"
  value       = aws_ecr_repository.main.repository_url
}

output "deploy_role_arn" {
  description = "Assumed by the deploying workflow"
  value       = aws_iam_role.deploy.arn
}

output "service_role_arn" {
  description = "eks.amazonaws.com/role-arn of the service's account"
  value       = aws_iam_role.pod["service"].arn
}

output "external_secrets_role_arn" {
  description = "eks.amazonaws.com/role-arn of external-secrets' account"
  value       = aws_iam_role.pod["external_secrets"].arn
}

output "cert_manager_role_arn" {
  description = "eks.amazonaws.com/role-arn of cert-manager's account"
  value       = aws_iam_role.pod["cert_manager"].arn
}

output "database_host" {
  description = "Name of the primary, whichever zone it is in"
  value       = aws_db_instance.main.address
}

output "database_name" {
  description = "Name of the database"
  value       = aws_db_instance.main.db_name
}

output "database_secret_name" {
  description = "Made and rotated by RDS: a JSON object with `username` and `password`"
  value       = local.database_secret_name
}

output "redis_host" {
  description = "Name of the primary, whichever zone it is in"
  value       = aws_elasticache_replication_group.main.primary_endpoint_address
}

output "redis_secret_name" {
  description = "A JSON object with `auth_token`"
  value       = aws_secretsmanager_secret.rotated["redis"].name
}

output "token_secret_name" {
  description = "A JSON object with TOKEN_SYMMETRIC_KEY and TOKEN_RETIRED_KEYS"
  value       = aws_secretsmanager_secret.rotated["token"].name
}

output "smtp_secret_name" {
  description = "A JSON object with SMTP_URL, which is put there by hand"
  value       = aws_secretsmanager_secret.smtp.name
}

output "vpc_cidr" {
  description = "Addresses of the network, which the load balancer's requests come from"
  value       = aws_vpc.main.cidr_block
}

# `terraform output -raw variables` is what infra/kubernetes/components/variables/variables.env says.
output "variables" {
  description = "All that the Kubernetes overlay is told, a line each"
  value = join("", [for name, value in {
    DOMAIN               = var.domain
    REGION               = var.region
    CLUSTER_NAME         = aws_eks_cluster.main.name
    VPC_CIDR             = aws_vpc.main.cidr_block
    ZONE_ID              = aws_route53_zone.main.zone_id
    DEPLOY_ROLE_ARN      = aws_iam_role.deploy.arn
    SERVICE_ROLE_ARN     = aws_iam_role.pod["service"].arn
    DATABASE_HOST        = aws_db_instance.main.address
    DATABASE_NAME        = aws_db_instance.main.db_name
    DATABASE_SECRET_NAME = local.database_secret_name
    REDIS_HOST           = aws_elasticache_replication_group.main.primary_endpoint_address
    IMAGE                = "${aws_ecr_repository.main.repository_url}:0.1.0"
  } : "${name}=${value}\n"])
}
