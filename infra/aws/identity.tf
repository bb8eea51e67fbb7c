# Who may do what, without a key that lives longer than an hour: GitHub's jobs and the cluster's pods show a token of
# their own issuer, and get a role for it. Each trust names one subject; none has a wildcard.

locals {
  github = "token.actions.githubusercontent.com"
  # ARN of the cluster's issuer ends with its URL.
  cluster_issuer = trimprefix(aws_eks_cluster.main.identity[0].oidc[0].issuer, "https://")
  # The accounts of the cluster that have a role, as namespace:name.
  pods = {
    service          = "${var.namespace}:transactions"
    external_secrets = "external-secrets:external-secrets"
    cert_manager     = "cert-manager:cert-manager"
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.github}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  name                 = "${var.name}-deploy"
  description          = "Jobs of ${var.github_repository} in the environments ${join(", ", var.github_environments)}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Condition = {
        StringEquals = {
          "${local.github}:aud" = "sts.amazonaws.com"
          "${local.github}:sub" = [for name in var.github_environments : "repo:${var.github_repository}:environment:${name}"]
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "deploy" {
  name = "push-and-reach-cluster"
  role = aws_iam_role.deploy.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*" # knows no narrower one
      },
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
          "ecr:DescribeImageScanFindings", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = aws_ecr_repository.main.arn
      },
      {
        Effect   = "Allow"
        Action   = "eks:DescribeCluster"
        Resource = aws_eks_cluster.main.arn
      },
    ]
  })
}

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = aws_eks_cluster.main.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "pod" {
  for_each = local.pods
  name     = "${var.name}-${replace(each.key, "_", "-")}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.cluster.arn }
      Condition = {
        StringEquals = {
          "${local.cluster_issuer}:aud" = "sts.amazonaws.com"
          "${local.cluster_issuer}:sub" = "system:serviceaccount:${each.value}"
        }
      }
    }]
  })
}

# The service calls nothing of AWS': everything it needs is in its environment. Its role has no policy, so that what it
# calls one day is granted to it, and not to the nodes.

resource "aws_iam_role_policy" "external_secrets" {
  name = "read-ours"
  role = aws_iam_role.pod["external_secrets"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
        Resource = concat(
          [for secret in aws_secretsmanager_secret.rotated : secret.arn],
          [aws_secretsmanager_secret.smtp.arn, aws_db_instance.main.master_user_secret[0].secret_arn],
        )
      },
      {
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = aws_kms_key.main["data"].arn
        Condition = {
          StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" }
        }
      },
    ]
  })
}

resource "aws_iam_role_policy" "cert_manager" {
  name = "answer-dns01"
  role = aws_iam_role.pod["cert_manager"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = "route53:GetChange"
        Resource = "arn:${local.partition}:route53:::change/*"
      },
      {
        Effect   = "Allow"
        Action   = "route53:ListResourceRecordSets"
        Resource = aws_route53_zone.main.arn
      },
      {
        # Challenges only: a stolen role can not lead the service's names elsewhere.
        Effect   = "Allow"
        Action   = "route53:ChangeResourceRecordSets"
        Resource = aws_route53_zone.main.arn
        Condition = {
          "ForAllValues:StringEquals" = { "route53:ChangeResourceRecordSetsRecordTypes" = ["TXT"] }
          "ForAllValues:StringLike"   = { "route53:ChangeResourceRecordSetsNormalizedRecordNames" = ["_acme-challenge.*"] }
        }
      },
    ]
  })
}
