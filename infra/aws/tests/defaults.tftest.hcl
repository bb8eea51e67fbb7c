# What is made of the four values that must be said, with a provider that makes nothing.

mock_provider "aws" {
  source = "./tests/simulated"
}

variables {
  domain             = "bank.example.com"
  alarm_email        = "operations@example.com"
  github_repository  = "example/transactions"
  cluster_admin_arns = ["arn:aws:iam::123456789012:role/Administrator"]
}

# One run: each would plan and apply all of it again.
run "defaults" {
  # network

  assert {
    condition     = length(aws_subnet.public) == 3 && length(aws_subnet.private) == 3 && length(aws_subnet.data) == 3
    error_message = "three zones, three subnets in each"
  }
  assert {
    condition     = alltrue([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.map_public_ip_on_launch != true])
    error_message = "a subnet gives out public addresses"
  }
  assert {
    condition     = alltrue([for table in aws_route_table.private : one(table.route).nat_gateway_id == one(values(aws_nat_gateway.main)).id])
    error_message = "a private subnet has the internet gateway as a route"
  }
  assert {
    condition     = length(aws_route_table.data.route) == 0 && alltrue([for each in aws_route_table_association.data : each.route_table_id == aws_route_table.data.id])
    error_message = "the data subnets have a way out"
  }
  assert {
    condition     = length(aws_nat_gateway.main) == 1
    error_message = "one NAT gateway unless asked for more"
  }
  assert {
    condition     = length(distinct([for subnet in concat(values(aws_subnet.public), values(aws_subnet.private), values(aws_subnet.data)) : subnet.cidr_block])) == 9
    error_message = "subnets share addresses"
  }
  assert {
    condition     = aws_flow_log.main.traffic_type == "ALL"
    error_message = "flow logs do not tell all"
  }

  # cluster

  assert {
    condition     = aws_eks_cluster.main.vpc_config[0].endpoint_private_access && !aws_eks_cluster.main.vpc_config[0].endpoint_public_access
    error_message = "the cluster's API answers to the world"
  }
  assert {
    condition     = aws_eks_cluster.main.access_config[0].authentication_mode == "API" && !aws_eks_cluster.main.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "access is not by access entries alone"
  }
  assert {
    condition     = length(aws_eks_cluster.main.enabled_cluster_log_types) == 5 && aws_eks_cluster.main.encryption_config[0].resources == toset(["secrets"])
    error_message = "the control plane's logs, or its secrets' encryption"
  }
  assert {
    condition     = aws_eks_node_group.main.instance_types == tolist(["t3.small"]) && aws_eks_node_group.main.scaling_config[0].desired_size == 2
    error_message = "two t3.small"
  }
  assert {
    condition     = aws_eks_access_policy_association.deploy.access_scope[0].namespaces == toset(["transactions"])
    error_message = "a deployment may change more than its namespace"
  }
  assert {
    condition     = aws_launch_template.node.metadata_options[0].http_tokens == "required" && aws_launch_template.node.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "pods reach the node's credentials"
  }
  assert {
    condition     = jsondecode(aws_eks_addon.network.configuration_values).enableNetworkPolicy == "true"
    error_message = "network policies are not enforced"
  }

  # registry

  assert {
    condition     = aws_ecr_repository.main.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.main.image_scanning_configuration[0].scan_on_push
    error_message = "tags that can be moved, or images that nobody scans"
  }
  assert {
    condition     = length(jsondecode(aws_ecr_lifecycle_policy.main.policy).rules) == 2
    error_message = "images are kept for ever"
  }

  # database

  assert {
    condition     = one([for parameter in aws_db_parameter_group.main.parameter : parameter.value if parameter.name == "rds.force_ssl"]) == "1"
    error_message = "connections without TLS are let in"
  }
  assert {
    condition     = aws_db_instance.main.multi_az && aws_db_instance.main.storage_encrypted && !aws_db_instance.main.publicly_accessible
    error_message = "a standby, encryption, no public address"
  }
  assert {
    condition     = aws_db_instance.main.parameter_group_name == aws_db_parameter_group.main.name && aws_db_subnet_group.main.subnet_ids == toset([for subnet in aws_subnet.data : subnet.id])
    error_message = "not with our parameters, or not in the data subnets"
  }
  assert {
    condition     = aws_db_instance.main.backup_retention_period == 14 && aws_db_instance.main.deletion_protection && !aws_db_instance.main.skip_final_snapshot
    error_message = "backups, or what protects from deletion"
  }
  assert {
    condition     = aws_db_instance.main.manage_master_user_password && aws_db_instance.main.password == null
    error_message = "the password is in the state"
  }
  assert {
    condition     = aws_db_instance.main.instance_class == "db.t3.micro"
    error_message = "small by default"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.database.referenced_security_group_id == aws_eks_cluster.main.vpc_config[0].cluster_security_group_id && aws_vpc_security_group_ingress_rule.database.cidr_ipv4 == null
    error_message = "reached by others than the cluster"
  }
  assert {
    condition     = output.database_secret_name == "rds!db-1234"
    error_message = "the name in the secret's ARN"
  }
  assert {
    condition     = strcontains(output.variables, "DATABASE_SECRET_NAME=rds!db-1234\n") && strcontains(output.variables, "VPC_CIDR=10.20.0.0/16\n") && length(regexall("=", output.variables)) == 12
    error_message = "what the Kubernetes overlay is told"
  }

  # cache

  assert {
    condition     = aws_elasticache_replication_group.main.transit_encryption_enabled && aws_elasticache_replication_group.main.transit_encryption_mode == "required"
    error_message = "connections without TLS are let in"
  }
  assert {
    condition     = aws_elasticache_replication_group.main.at_rest_encryption_enabled && aws_elasticache_replication_group.main.auth_token != null
    error_message = "not encrypted, or without a password"
  }
  assert {
    condition     = aws_elasticache_replication_group.main.automatic_failover_enabled && aws_elasticache_replication_group.main.num_cache_clusters == 2
    error_message = "nobody takes over"
  }

  # secrets

  assert {
    condition     = toset(keys(aws_secretsmanager_secret_rotation.rotated)) == toset(keys(aws_secretsmanager_secret.rotated)) && alltrue([for rotation in aws_secretsmanager_secret_rotation.rotated : rotation.rotation_rules[0].automatically_after_days == 30])
    error_message = "a secret is not rotated"
  }
  assert {
    condition     = jsondecode(aws_cloudformation_stack.rotation.template_body).Resources.Function.Properties.Code.ZipFile == file("rotation.py")
    error_message = "the function is not rotation.py"
  }
  assert {
    condition     = alltrue([for key in aws_kms_key.main : key.enable_key_rotation])
    error_message = "a key is not rotated"
  }
  assert {
    condition     = alltrue([for group in aws_cloudwatch_log_group.main : group.kms_key_id == aws_kms_key.main["logs"].arn && group.retention_in_days == 365])
    error_message = "a log group without our key, or without an end"
  }

  # identity

  assert {
    condition     = jsondecode(aws_iam_role.deploy.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"] == ["repo:example/transactions:environment:production"]
    error_message = "GitHub's trust is not this repository in this environment alone"
  }
  assert {
    condition     = jsondecode(aws_iam_role.deploy.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    error_message = "tokens for another audience are taken"
  }
  assert {
    condition     = !strcontains(join("", [for role in concat(values(aws_iam_role.pod), [aws_iam_role.deploy]) : role.assume_role_policy]), "*")
    error_message = "a trust has a wildcard"
  }
  assert {
    condition     = jsondecode(aws_iam_role.pod["service"].assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.us-east-1.amazonaws.com/id/SIMULATED:sub"] == "system:serviceaccount:transactions:transactions"
    error_message = "the service's role is another account's"
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.external_secrets.policy, "secret:*") && length(jsondecode(aws_iam_role_policy.external_secrets.policy).Statement[0].Resource) == 4
    error_message = "external-secrets reads more than ours"
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.cert_manager.policy).Statement[2].Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"] == ["TXT"]
    error_message = "cert-manager may change more than challenges"
  }

  # names

  assert {
    condition     = length(aws_route53_record.host) == 0
    error_message = "names before there is a load balancer"
  }
  assert {
    condition     = contains(aws_route53_record.caa.records, "0 issue \"letsencrypt.org\"")
    error_message = "others may issue certificates"
  }

  # budget

  assert {
    condition     = aws_budgets_budget.month.limit_amount == "350" && aws_budgets_budget.month.time_unit == "MONTHLY"
    error_message = "350 dollars a month"
  }
  assert {
    condition     = alltrue([for notification in aws_budgets_budget.month.notification : notification.subscriber_email_addresses == toset(["operations@example.com"])])
    error_message = "nobody is told"
  }
}
