# identity

variable "instance" {
  description = "The instance that zave runs; everything is named `zave-<instance>-...` after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.instance))
    error_message = "The instance must be 1 to 32 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

# addresses

variable "cidr" {
  description = "Private range of the VPC. A quarter of it goes to each of four subnets."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/(1[6-9]|2[0-4])$", var.cidr))
    error_message = "The range must be IPv4 in CIDR notation, from /16 to /24."
  }
}

variable "zones" {
  description = "Names of two availability zones: EKS and RDS ask for two."
  type        = list(string)

  validation {
    condition     = length(var.zones) == 2 && length(distinct(var.zones)) == 2
    error_message = "There must be two different availability zones."
  }
}

variable "node_zones" {
  description = "In how many of the zones nodes run. Traffic between zones costs money."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2], var.node_zones)
    error_message = "Nodes run in 1 zone or in 2."
  }
}

# ways out

variable "nat" {
  description = "`none`: nodes in public subnets; `single`: private nodes behind one NAT gateway, which costs by the hour."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "single"], var.nat)
    error_message = "nat must be none or single."
  }
}

# what is watched

variable "flow_logs" {
  description = "Whether the traffic of the VPC is logged to CloudWatch, which costs by the GB."
  type        = bool
  default     = false
}

variable "flow_logs_retention_days" {
  description = "How long flow logs are kept."
  type        = number
  default     = 7

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90], var.flow_logs_retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60 or 90 days."
  }
}

# what Kubernetes looks for

variable "cluster_name" {
  description = "The cluster that will live here: Karpenter finds its subnets by this name."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$", var.cluster_name))
    error_message = "A cluster's name has 1 to 100 letters, digits, hyphens and underscores."
  }
}
