# Redis: a primary and a replica in another zone, TLS, a password. It holds the mail queue, limits and announcements:
# the service goes on without it, and what is lost with it is put there again from PostgreSQL.

resource "aws_elasticache_subnet_group" "main" {
  name       = var.name
  subnet_ids = [for subnet in aws_subnet.data : subnet.id]
}

resource "aws_security_group" "cache" {
  name        = "${var.name}-cache"
  description = "Redis, from the cluster"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "cache" {
  security_group_id            = aws_security_group.cache.id
  description                  = "Pods and nodes"
  referenced_security_group_id = aws_eks_cluster.main.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "main" {
  name        = "${var.name}-redis7"
  family      = "redis7"
  description = "A full memory refuses writes instead of forgetting mails"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

# The provider can set a password only from what it keeps in the state. So this one is thrown away: as soon as there is
# a server, rotation.py gives it another, which is in Secrets Manager alone.
data "aws_secretsmanager_random_password" "thrown_away" {
  password_length     = 64
  exclude_punctuation = true
}

resource "aws_elasticache_replication_group" "main" {
  replication_group_id = var.name
  description          = "Mail queue, limits, announcements"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.cache_type
  num_cache_clusters   = var.cache_nodes
  parameter_group_name = aws_elasticache_parameter_group.main.name
  port                 = 6379

  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.main.name
  security_group_ids         = [aws_security_group.cache.id]

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.main["data"].arn
  auth_token                 = data.aws_secretsmanager_random_password.thrown_away.random_password
  auth_token_update_strategy = "SET"

  snapshot_retention_limit   = 1
  snapshot_window            = "02:00-03:00"
  maintenance_window         = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade = true

  dynamic "log_delivery_configuration" {
    for_each = toset(["slow-log", "engine-log"])
    content {
      destination      = aws_cloudwatch_log_group.main["redis"].name
      destination_type = "cloudwatch-logs"
      log_format       = "json"
      log_type         = log_delivery_configuration.value
    }
  }

  lifecycle {
    ignore_changes = [auth_token] # rotation.py's from here on; the data source tells another one every time
  }
}
