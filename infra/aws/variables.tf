# What has no default must be said; terraform.tfvars.example shows how.

variable "domain" {
  description = "Domain of the service, which gets a hosted zone of its own: bank.example.com"
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "A domain in lower case, without a dot at its end."
  }
}

variable "alarm_email" {
  description = "Who is told when the month becomes expensive"
  type        = string
  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+$", var.alarm_email))
    error_message = "An email address."
  }
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflows deploy"
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "OWNER/NAME, and no pattern: a wildcard would let other repositories in."
  }
}

variable "cluster_admin_arns" {
  description = "IAM roles or users who administer the cluster"
  type        = set(string)
  validation {
    condition     = length(var.cluster_admin_arns) > 0
    error_message = "Nobody could reach the cluster: who creates it is no administrator by that alone."
  }
}

variable "region" {
  description = "AWS region"
  type        = string
  default     = "us-east-1"
}

variable "name" {
  description = "Name of everything that needs one"
  type        = string
  default     = "transactions"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "3 to 20 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "namespace" {
  description = "Kubernetes namespace that the service runs in, and the only one that a deployment may change"
  type        = string
  default     = "transactions"
}

variable "github_environments" {
  description = "GitHub environments whose jobs may push an image and deploy; each has its approval in GitHub"
  type        = set(string)
  default     = ["production"]
  validation {
    condition     = length(var.github_environments) > 0 && alltrue([for name in var.github_environments : can(regex("^[A-Za-z0-9_-]+$", name))])
    error_message = "At least one, and no pattern."
  }
}

variable "load_balancer_dns_name" {
  description = "Name that the entry's load balancer got (kubectl get service); empty until there is one"
  type        = string
  default     = ""
}

variable "hosts" {
  description = "Names below the domain that lead to the load balancer: HTTP and gRPC"
  type        = set(string)
  default     = ["api", "grpc"]
}

variable "vpc_cidr" {
  description = "Addresses of the network, a /16"
  type        = string
  default     = "10.20.0.0/16"
  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "A network of size /16."
  }
}

variable "zones" {
  description = "Letters of three zones of the region; others where one of them has no room for the cluster"
  type        = list(string)
  default     = ["a", "b", "c"]
  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3 && alltrue([for letter in var.zones : can(regex("^[a-z]$", letter))])
    error_message = "Three different letters."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in every zone, which outlives a zone, instead of one"
  type        = bool
  default     = false
}

variable "kubernetes_version" {
  description = "Version of the cluster; each has 14 months of standard support"
  type        = string
  default     = "1.35"
}

variable "cluster_public_cidrs" {
  description = "Networks that may reach the cluster's API from outside; none: it answers inside the network only"
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for network in var.cluster_public_cidrs : can(cidrhost(network, 0)) && !endswith(network, "/0")])
    error_message = "Networks, and not everybody's."
  }
}

variable "node_type" {
  description = "Instance type of the nodes"
  type        = string
  default     = "t3.small"
}

variable "node_count" {
  description = "Nodes: at least, wanted at first, at most"
  type        = object({ min = number, desired = number, max = number })
  default     = { min = 2, desired = 2, max = 4 }
  validation {
    condition     = var.node_count.min >= 2 && var.node_count.min <= var.node_count.desired && var.node_count.desired <= var.node_count.max
    error_message = "min <= desired <= max, and two at least: the two pods are kept apart."
  }
}

variable "database_class" {
  description = "Instance class of PostgreSQL"
  type        = string
  default     = "db.t3.micro"
}

variable "database_version" {
  description = "Major version of PostgreSQL; minor ones are applied in the maintenance window"
  type        = string
  default     = "17"
  validation {
    condition     = can(regex("^[0-9]{2}$", var.database_version)) && tonumber(var.database_version) >= 15
    error_message = "A major version, 15 at least."
  }
}

variable "database_storage_gb" {
  description = "Storage: at first, and what it may grow to by itself"
  type        = object({ initial = number, max = number })
  default     = { initial = 20, max = 100 }
}

variable "database_backup_days" {
  description = "Days back to any second of which the database can be restored"
  type        = number
  default     = 14
  validation {
    condition     = var.database_backup_days >= 7 && var.database_backup_days <= 35
    error_message = "7 to 35: a bank keeps backups."
  }
}

variable "database_deletion_protection" {
  description = "Refuse to delete the database; set to false, and apply, before a destroy that is meant"
  type        = bool
  default     = true
}

variable "database_rotation" {
  description = "When RDS changes the master password, as a Secrets Manager schedule"
  type        = string
  default     = "cron(0 3 1 * ? *)"
}

variable "cache_type" {
  description = "Node type of Redis"
  type        = string
  default     = "cache.t3.micro"
}

variable "cache_nodes" {
  description = "Redis nodes: a primary, and replicas in other zones"
  type        = number
  default     = 2
  validation {
    condition     = var.cache_nodes >= 2 && var.cache_nodes <= 6
    error_message = "2 to 6: without a replica there is no failover."
  }
}

variable "rotation_days" {
  description = "How often the token key and Redis' password change; every pod must be started anew within each period"
  type        = number
  default     = 30
  validation {
    condition     = var.rotation_days >= 2
    error_message = "2 at least: refresh tokens live for a day, and must outlive no more than one change."
  }
}

variable "budget_usd" {
  description = "US dollars a month; the alarm goes off at 80 % spent and at 100 % forecast"
  type        = number
  default     = 350
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
  default     = 365
}
