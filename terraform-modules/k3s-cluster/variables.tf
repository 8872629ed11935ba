# identity

variable "cluster_name" {
  description = "Name of the cluster: the instance that zave runs."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.cluster_name))
    error_message = "The name must be 1 to 32 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

variable "kubernetes_version" {
  description = "The k3s release or channel that the nodes install, such as v1.35."
  type        = string

  validation {
    condition     = can(regex("^v1\\.[0-9]+(\\.[0-9]+(\\+k3s[0-9]+)?)?$", var.kubernetes_version))
    error_message = "The version must be a channel such as v1.35 or a release of k3s."
  }
}

# compute

variable "acceleration" {
  description = "`kvm` where /dev/kvm works, `qemu` (emulation) where it does not."
  type        = string
  default     = "kvm"

  validation {
    condition     = contains(["kvm", "qemu"], var.acceleration)
    error_message = "The acceleration must be kvm or qemu."
  }
}

variable "nodes" {
  description = "The machines by node name. `address` must be the one that `reservations` gives to `mac`. The seeds must hold no secrets."
  type = map(object({
    role           = string
    address        = string
    mac            = string
    vcpu           = number
    memory_mib     = number
    disk_bytes     = number
    user_data      = string
    meta_data      = string
    network_config = string
  }))

  validation {
    condition     = alltrue([for node in values(var.nodes) : contains(["control-plane", "worker"], node.role)])
    error_message = "The role of a node must be control-plane or worker."
  }

  validation {
    condition     = length([for node in values(var.nodes) : node if node.role == "control-plane"]) % 2 == 1
    error_message = "A cluster needs an odd number of control-plane nodes: etcd decides by majority."
  }

  validation {
    condition     = length(distinct([for node in values(var.nodes) : node.mac])) == length(var.nodes)
    error_message = "Two nodes have the same MAC address."
  }
}

# storage

variable "pool" {
  description = "Storage pool of all volumes; it must exist."
  type        = string
  default     = "default"

  validation {
    condition     = length(var.pool) > 0
    error_message = "The pool must have a name."
  }
}

variable "image_path" {
  description = "Path of the nodes' image, qcow2, on the machine that runs Terraform. Another path is another image: it rebuilds the nodes."
  type        = string

  validation {
    condition     = length(var.image_path) > 0
    error_message = "The image must have a path."
  }
}

# network

variable "network" {
  description = "The cluster's own network: its name and its IPv4 range, which nothing on the host may use."
  type = object({
    name = string
    cidr = string
  })

  validation {
    condition     = can(cidrhost(var.network.cidr, 7))
    error_message = "The range must be IPv4 in CIDR notation with at least eight addresses."
  }

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$", var.network.name))
    error_message = "The name must be 1 to 63 letters, digits, dots, hyphens and underscores."
  }
}

variable "reservations" {
  description = "Fixed DHCP leases by host name. Reserve more than there are nodes: the provider cannot add one later without making the network anew."
  type = map(object({
    mac     = string
    address = string
  }))

  validation {
    condition     = length(distinct([for host in values(var.reservations) : host.address])) == length(var.reservations)
    error_message = "Two hosts have the same address."
  }

  validation {
    condition     = length(distinct([for host in values(var.reservations) : host.mac])) == length(var.reservations)
    error_message = "Two hosts have the same MAC address."
  }
}
