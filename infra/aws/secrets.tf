# The token key and Redis' password are made, kept and rotated in Secrets Manager: Terraform knows of them that they
# exist, and their values are never in its state. What makes and rotates them is rotation.py, a function that
# CloudFormation takes as text: Terraform would need it as an archive, which nobody can review.

locals {
  rotated = {
    token = "Key of all tokens, with the one before it and the one to come"
    redis = "Redis' password"
  }
}

resource "aws_secretsmanager_secret" "rotated" {
  # checkov:skip=CKV2_AWS_57:Rotated below, which is not seen through for_each; a test of ours asserts it
  for_each                = local.rotated
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = aws_kms_key.main["data"].arn
  recovery_window_in_days = 7
}

resource "aws_secretsmanager_secret" "smtp" {
  # checkov:skip=CKV2_AWS_57:Whoever runs the mail server makes this password; it is put here by hand
  name                    = "${var.name}/smtp"
  description             = "SMTP_URL; put here by hand"
  kms_key_id              = aws_kms_key.main["data"].arn
  recovery_window_in_days = 7
}

resource "aws_cloudformation_stack" "rotation" {
  # checkov:skip=CKV_AWS_124:The stack is changed by Terraform alone, which waits for it and reports what went wrong
  name = "${var.name}-rotation"
  template_body = jsonencode({
    Description = "The function that makes and rotates secrets"
    Resources = {
      Function = {
        Type = "AWS::Lambda::Function"
        Properties = {
          FunctionName  = "${var.name}-rotation"
          Description   = "Makes and rotates the token key and Redis' password"
          Runtime       = "python3.13"
          Architectures = ["arm64"]
          Handler       = "index.handler"
          Timeout       = 900
          MemorySize    = 128
          Role          = aws_iam_role.rotation.arn
          Code          = { ZipFile = file("${path.module}/rotation.py") }
          Environment = {
            Variables = {
              TOKEN_SECRET = aws_secretsmanager_secret.rotated["token"].arn
              REDIS_SECRET = aws_secretsmanager_secret.rotated["redis"].arn
              REDIS_GROUP  = aws_elasticache_replication_group.main.replication_group_id
            }
          }
        }
      }
    }
    Outputs = { Arn = { Value = { "Fn::GetAtt" = ["Function", "Arn"] } } }
  })
  depends_on = [aws_iam_role_policy.rotation, aws_cloudwatch_log_group.main]
}

locals {
  rotation_function_arn = aws_cloudformation_stack.rotation.outputs["Arn"]
}

resource "aws_lambda_permission" "rotation" {
  statement_id   = "SecretsManagerRotates"
  action         = "lambda:InvokeFunction"
  function_name  = local.rotation_function_arn
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
}

# Makes the first value of a secret that has none, and changes nothing where there is one.
resource "aws_lambda_invocation" "first" {
  for_each      = aws_secretsmanager_secret.rotated
  function_name = local.rotation_function_arn
  input         = jsonencode({ Step = "first", SecretId = each.value.arn })
}

resource "aws_secretsmanager_secret_rotation" "rotated" {
  for_each            = aws_secretsmanager_secret.rotated
  secret_id           = each.value.id
  rotation_lambda_arn = local.rotation_function_arn
  rotate_immediately  = false
  rotation_rules {
    automatically_after_days = var.rotation_days
  }
  depends_on = [aws_lambda_permission.rotation, aws_lambda_invocation.first]
}

resource "aws_iam_role" "rotation" {
  name = "${var.name}-rotation"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "rotation" {
  name = "rotate"
  role = aws_iam_role.rotation.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
          "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage",
        ]
        Resource = [for secret in aws_secretsmanager_secret.rotated : secret.arn]
      },
      {
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = aws_kms_key.main["data"].arn
      },
      {
        Effect   = "Allow"
        Action   = ["elasticache:ModifyReplicationGroup", "elasticache:DescribeReplicationGroups"]
        Resource = aws_elasticache_replication_group.main.arn
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.main["rotation"].arn}:*"
      },
    ]
  })
}
