# identity

variable "instance" {
  description = "The instance that zave runs: the cluster is `zave-<instance>`, everything else `zave-<instance>-...`."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.instance))
    error_message = "The instance must be 1 to 32 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

variable "tags" {
  description = "Tags for what AWS and the cluster make by themselves: machines, volumes, network interfaces. The provider's default tags reach none of those."
  type        = map(string)
  default     = {}

  validation {
    condition     = !contains(keys(var.tags), "Name")
    error_message = "Name is not for you to set: each thing has its own."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes, such as 1.35: one in standard support."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]+$", var.kubernetes_version))
    error_message = "The version must look like 1.35."
  }
}

# network

variable "vpc_id" {
  description = "The VPC of the cluster."
  type        = string
  nullable    = false
}

variable "cluster_subnet_ids" {
  description = "Subnets in two zones for the control plane's network interfaces."
  type        = list(string)

  validation {
    condition     = length(var.cluster_subnet_ids) >= 2
    error_message = "EKS needs subnets in at least two zones."
  }
}

variable "node_subnet_ids" {
  description = "Subnets for nodes."
  type        = list(string)

  validation {
    condition     = length(var.node_subnet_ids) >= 1
    error_message = "Nodes need at least one subnet."
  }
}

variable "service_cidr" {
  description = "Range for Services. It must not overlap what the cluster talks to."
  type        = string
  default     = "172.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.service_cidr, 0)) && can(regex("/(1[2-9]|2[0-4])$", var.service_cidr))
    error_message = "The range must be IPv4 in CIDR notation, from /12 to /24."
  }
}

# access

variable "public_cidrs" {
  description = "Networks that may reach the public endpoint of the API server."
  type        = list(string)

  validation {
    condition     = length(var.public_cidrs) >= 1 && length(var.public_cidrs) <= 40 && alltrue([for cidr in var.public_cidrs : can(cidrhost(cidr, 0))])
    error_message = "There must be 1 to 40 networks in CIDR notation. An empty list would mean the whole internet."
  }
}

variable "administrators" {
  description = "ARNs of IAM principals that administer the cluster beside the one that makes it, by a name for each."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.administrators) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "An administrator is the ARN of a role or a user."
  }
}

# nodes

variable "nodes" {
  description = "The managed node group: types of one architecture, spot or not, fewest and most machines, GiB of disk."
  type = object({
    instance_types = list(string)
    spot           = optional(bool, true)
    minimum        = optional(number, 2)
    maximum        = optional(number, 4)
    disk_gib       = optional(number, 30)
    architecture   = optional(string, "amd64")
  })

  validation {
    condition     = length(var.nodes.instance_types) >= 1 && length(var.nodes.instance_types) <= 20
    error_message = "A node group takes 1 to 20 instance types."
  }

  validation {
    condition     = var.nodes.minimum >= 1 && var.nodes.minimum <= var.nodes.maximum
    error_message = "There must be at least one node, and no more as minimum than as maximum."
  }

  validation {
    condition     = contains(["amd64", "arm64"], var.nodes.architecture)
    error_message = "The architecture must be amd64 or arm64."
  }

  validation {
    condition     = var.nodes.disk_gib >= 20 && floor(var.nodes.disk_gib) == var.nodes.disk_gib
    error_message = "A node's disk has at least 20 whole GiB: the image takes most of 10."
  }
}

variable "karpenter" {
  description = "Whether Karpenter's roles, queue and rules are made. Karpenter itself comes by GitOps."
  type        = bool
  default     = true
}

variable "dns" {
  description = "The hosted zone of Route 53 in which external-dns may write names, and the domain that they end in; null for none. external-dns itself comes by GitOps."
  type = object({
    zone_id = string
    domain  = string
  })
  default = null

  validation {
    condition     = alltrue([for zone in var.dns[*].zone_id : can(regex("^Z[0-9A-Z]{3,31}$", zone))])
    error_message = "The zone is an ID such as Z0123456789ABCDEFGHIJ, without /hostedzone/."
  }

  validation {
    # an asterisk or a question mark would widen the policy
    condition     = alltrue([for domain in var.dns[*].domain : can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", domain))])
    error_message = "The domain must be a DNS name such as demo.example.org, in lower case, without a last dot."
  }
}

variable "backups" {
  description = "The bucket into which Velero backs up, in the folder `zave-<instance>`; null for none. It must exist; Velero itself comes by GitOps."
  type = object({
    bucket = string
  })
  default = null

  validation {
    condition     = alltrue([for bucket in var.backups[*].bucket : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])
    error_message = "The bucket must be 3 to 63 lower-case letters, digits, hyphens and dots."
  }
}

# logs

variable "log_types" {
  description = "Which logs the control plane writes."
  type        = set(string)
  default     = ["api", "audit", "authenticator"]

  validation {
    condition     = length(setsubtract(var.log_types, ["api", "audit", "authenticator", "controllerManager", "scheduler"])) == 0
    error_message = "Logs are api, audit, authenticator, controllerManager and scheduler."
  }
}

variable "log_retention_days" {
  description = "How long the control plane's logs are kept."
  type        = number
  default     = 7

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60 or 90 days."
  }
}

# encryption

variable "key_deletion_days" {
  description = "Days for which KMS keeps the key, pending deletion, after a destroy."
  type        = number
  default     = 7

  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30 && floor(var.key_deletion_days) == var.key_deletion_days
    error_message = "KMS waits 7 to 30 days."
  }
}
