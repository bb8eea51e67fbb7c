# Sizes follow the variables, and what must not be said is refused.

mock_provider "aws" {
  source = "./tests/simulated"
}

variables {
  domain             = "bank.example.com"
  alarm_email        = "operations@example.com"
  github_repository  = "example/transactions"
  cluster_admin_arns = ["arn:aws:iam::123456789012:role/Administrator"]
}

run "sizes" {
  variables {
    node_type              = "m7i.large"
    node_count             = { min = 3, desired = 4, max = 9 }
    database_class         = "db.m7g.large"
    database_version       = "16"
    database_storage_gb    = { initial = 200, max = 2000 }
    database_backup_days   = 35
    cache_type             = "cache.m7g.large"
    cache_nodes            = 3
    nat_per_zone           = true
    rotation_days          = 7
    budget_usd             = 2000
    github_environments    = ["staging", "production"]
    load_balancer_dns_name = "entry.elb.us-east-1.amazonaws.com"
    cluster_public_cidrs   = ["203.0.113.7/32"]
  }
  assert {
    condition     = aws_eks_node_group.main.instance_types == tolist(["m7i.large"]) && aws_eks_node_group.main.scaling_config[0].min_size == 3 && aws_eks_node_group.main.scaling_config[0].max_size == 9
    error_message = "nodes"
  }
  assert {
    condition     = aws_db_instance.main.instance_class == "db.m7g.large" && aws_db_instance.main.engine_version == "16" && aws_db_parameter_group.main.family == "postgres16"
    error_message = "the database's class or version"
  }
  assert {
    condition     = aws_db_instance.main.allocated_storage == 200 && aws_db_instance.main.max_allocated_storage == 2000 && aws_db_instance.main.backup_retention_period == 35
    error_message = "the database's storage or backups"
  }
  assert {
    condition     = aws_elasticache_replication_group.main.node_type == "cache.m7g.large" && aws_elasticache_replication_group.main.num_cache_clusters == 3
    error_message = "Redis"
  }
  assert {
    condition     = length(aws_nat_gateway.main) == 3 && length(distinct([for table in aws_route_table.private : one(table.route).nat_gateway_id])) == 3
    error_message = "each zone its own NAT gateway"
  }
  assert {
    condition     = alltrue([for rotation in aws_secretsmanager_secret_rotation.rotated : rotation.rotation_rules[0].automatically_after_days == 7])
    error_message = "rotation"
  }
  assert {
    condition     = aws_budgets_budget.month.limit_amount == "2000"
    error_message = "budget"
  }
  assert {
    condition     = toset(jsondecode(aws_iam_role.deploy.assume_role_policy).Statement[0].Condition.StringEquals["token.actions.githubusercontent.com:sub"]) == toset(["repo:example/transactions:environment:staging", "repo:example/transactions:environment:production"])
    error_message = "environments"
  }
  assert {
    condition     = toset([for record in aws_route53_record.host : record.name]) == toset(["api.bank.example.com", "grpc.bank.example.com"]) && alltrue([for record in aws_route53_record.host : record.alias[0].name == "entry.elb.us-east-1.amazonaws.com"])
    error_message = "names of the entry"
  }
  assert {
    condition     = aws_eks_cluster.main.vpc_config[0].endpoint_public_access && aws_eks_cluster.main.vpc_config[0].public_access_cidrs == toset(["203.0.113.7/32"])
    error_message = "networks that may reach the cluster"
  }
}

run "refusals" {
  command = plan
  variables {
    domain               = "Bank"
    alarm_email          = "nobody"
    github_repository    = "example/*"
    github_environments  = ["*"]
    cluster_admin_arns   = []
    cluster_public_cidrs = ["0.0.0.0/0"]
    node_count           = { min = 1, desired = 1, max = 1 }
    database_backup_days = 0
    cache_nodes          = 1
    rotation_days        = 1
    zones                = ["a", "a", "b"]
    vpc_cidr             = "10.0.0.0/24"
  }
  expect_failures = [
    var.domain, var.alarm_email, var.github_repository, var.github_environments, var.cluster_admin_arns,
    var.cluster_public_cidrs, var.node_count, var.database_backup_days, var.cache_nodes, var.rotation_days, var.zones,
    var.vpc_cidr,
  ]
}
