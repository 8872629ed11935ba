# The modules validate; the root only says what comes in.

# account

variable "account" {
  description = "The AWS account, twelve digits. Credentials of another one are refused."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of everything."
  type        = string
  nullable    = false
}

variable "destroyer_role" {
  description = "Name of the role with which the switch takes the instance down."
  type        = string
  nullable    = false
}

# identity

variable "instance" {
  description = "Name of the instance."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything: whose it is. They never change while the instance stands."
  type        = map(string)

  validation {
    condition = alltrue([
      for key in ["zave:creation", "zave:environment", "zave:instance", "zave:owner"] :
      try(length(var.tags[key]) > 0, false)
    ])
    error_message = "The tags zave:instance, zave:environment, zave:owner and zave:creation must be there: the sweep goes by them."
  }

  validation {
    condition     = try(var.tags["zave:instance"] == var.instance, false)
    error_message = "The tag zave:instance must name the instance."
  }
}

variable "kubernetes_version" {
  description = "Minor version of Kubernetes."
  type        = string
  nullable    = false
}

# network

variable "cidr" {
  description = "Private range of the VPC."
  type        = string
  nullable    = false
}

variable "nat" {
  description = "`none` or `single`."
  type        = string
  nullable    = false
}

# access

variable "public_cidrs" {
  description = "Networks that may reach the API server."
  type        = list(string)
  nullable    = false
}

variable "administrators" {
  description = "ARNs of IAM principals that administer the cluster beside who makes it and the destroyer, by a name for each."
  type        = map(string)
  default     = {}
}

# nodes

variable "nodes" {
  description = "The managed node group."
  type = object({
    instance_types = list(string)
    spot           = bool
    minimum        = number
    maximum        = number
    disk_gib       = number
    architecture   = string
  })
  nullable = false
}

variable "karpenter" {
  description = "Whether Karpenter gets what it needs."
  type        = bool
  nullable    = false
}

# what pods may do outside the cluster

variable "dns" {
  description = "Where external-dns may write names; null for nowhere."
  type = object({
    zone_id = string
    domain  = string
  })
  default = null
}

variable "backups" {
  description = "Where Velero may back up to; null for nowhere."
  type = object({
    bucket = string
  })
  default = null
}

# beside the cluster

variable "repositories" {
  description = "Repositories for images."
  type        = set(string)
  nullable    = false
}

variable "database" {
  description = "A database beside the cluster; null for none."
  type = object({
    instance_class = string
    storage_gb     = number
  })
  default = null
}
