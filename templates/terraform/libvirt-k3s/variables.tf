# The modules validate; the root only says what comes in.

variable "libvirt_uri" {
  description = "Where libvirt is, such as qemu:///system."
  type        = string

  validation {
    condition     = can(regex("^[a-z+]+://", var.libvirt_uri))
    error_message = "The URI must look like qemu:///system or qemu+ssh://host/system."
  }
}

# identity

variable "cluster_name" {
  description = "Name of the instance."
  type        = string
  nullable    = false
}

variable "kubernetes_version" {
  description = "Release or channel of k3s."
  type        = string
  nullable    = false
}

# compute

variable "acceleration" {
  description = "`kvm` or `qemu`."
  type        = string
  nullable    = false
}

variable "nodes" {
  description = "The machines by node name."
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
  nullable = false
}

# storage

variable "pool" {
  description = "Storage pool of all volumes."
  type        = string
  nullable    = false
}

variable "image_path" {
  description = "The nodes' image."
  type        = string
  nullable    = false
}

# network

variable "network" {
  description = "Name and IPv4 range of the cluster's network."
  type = object({
    name = string
    cidr = string
  })
  nullable = false
}

variable "reservations" {
  description = "Fixed DHCP leases by host name."
  type = map(object({
    mac     = string
    address = string
  }))
  nullable = false
}
