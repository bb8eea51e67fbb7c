# Three keys of ours, each rotated yearly by KMS: what the database, Redis, secrets and images are encrypted with;
# what Kubernetes' own secrets are; what logs are.

locals {
  kms_keys = {
    data    = "Database, Redis, secrets and images"
    cluster = "Secrets inside the cluster"
    logs    = "Logs"
  }
  # The account decides, by IAM, who may use a key: AWS' own default.
  account_owns_key = {
    Sid       = "AccountOwnsKey"
    Effect    = "Allow"
    Action    = "kms:*"
    Resource  = "*"
    Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
  }
  logs_use_key = {
    Sid       = "LogsUseKey"
    Effect    = "Allow"
    Action    = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    Resource  = "*"
    Principal = { Service = "logs.${var.region}.amazonaws.com" }
    Condition = {
      ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:${var.region}:${local.account}:log-group:*" }
    }
  }
}

resource "aws_kms_key" "main" {
  for_each                = local.kms_keys
  description             = "${var.name}: ${each.value}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [for statement in [local.account_owns_key, local.logs_use_key] : statement if statement.Sid != "LogsUseKey" || each.key == "logs"]
  })
}

resource "aws_kms_alias" "main" {
  for_each      = aws_kms_key.main
  name          = "alias/${var.name}-${each.key}"
  target_key_id = each.value.key_id
}
