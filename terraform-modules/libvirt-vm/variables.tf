# identity

variable "name" {
  description = "Name of the domain; its volumes and its seed are named after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.name))
    error_message = "The name must be 1 to 63 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

# compute

variable "type" {
  description = "The hypervisor behind the domain: `kvm` where /dev/kvm works, `qemu` (emulation) where it does not."
  type        = string
  default     = "kvm"

  validation {
    condition     = contains(["kvm", "qemu"], var.type)
    error_message = "The type must be kvm or qemu."
  }
}

variable "vcpu" {
  description = "Number of virtual processors."
  type        = number

  validation {
    condition     = var.vcpu >= 1 && var.vcpu <= 256 && floor(var.vcpu) == var.vcpu
    error_message = "A domain has 1 to 256 whole virtual processors."
  }
}

variable "memory_mib" {
  description = "Memory in MiB."
  type        = number

  validation {
    condition     = var.memory_mib >= 256 && floor(var.memory_mib) == var.memory_mib
    error_message = "The memory must be a whole number of MiB, at least 256."
  }
}

variable "autostart" {
  description = "Whether the domain starts with the host."
  type        = bool
  default     = true
}

variable "shutdown_timeout" {
  description = "Seconds that the guest gets to shut down before a change of the machine cuts it off."
  type        = number
  default     = 120

  validation {
    condition     = var.shutdown_timeout >= 1 && floor(var.shutdown_timeout) == var.shutdown_timeout
    error_message = "The timeout must be a whole number of seconds, at least 1."
  }
}

# storage

variable "pool" {
  description = "Storage pool of the volumes; it must exist."
  type        = string

  validation {
    condition     = length(var.pool) > 0
    error_message = "The pool must have a name."
  }
}

variable "base_volume" {
  description = "The volume under the disk: its path on the host, and its name, which changes when its content does."
  type = object({
    name = string
    path = string
  })

  validation {
    condition     = length(var.base_volume.name) > 0
    error_message = "The base volume must have a name."
  }
}

variable "disk_bytes" {
  description = "Size of the disk in bytes. Another size makes another disk: the provider cannot grow one."
  type        = number

  validation {
    condition     = var.disk_bytes >= 1073741824 && floor(var.disk_bytes) == var.disk_bytes
    error_message = "The disk must have a whole number of bytes, at least 1 GiB."
  }
}

# network

variable "network" {
  description = "Name of the libvirt network of the only interface; it must exist and serve DHCP."
  type        = string

  validation {
    condition     = length(var.network) > 0
    error_message = "The network must have a name."
  }
}

variable "mac" {
  description = "MAC address of the interface, in QEMU's range 52:54:00."
  type        = string

  validation {
    condition     = can(regex("^52:54:00(:[0-9a-f]{2}){3}$", var.mac))
    error_message = "The MAC address must look like 52:54:00:12:ab:34, in lower case."
  }
}

variable "lease_timeout" {
  description = "Seconds to wait for the first DHCP lease. Emulated machines boot slowly."
  type        = number
  default     = 600

  validation {
    condition     = var.lease_timeout >= 1 && floor(var.lease_timeout) == var.lease_timeout
    error_message = "The timeout must be a whole number of seconds, at least 1."
  }
}

# first boot

variable "user_data" {
  description = "cloud-init user-data. Lands in Terraform's state and in an image on the host: no secrets."
  type        = string

  validation {
    condition     = startswith(var.user_data, "#cloud-config\n")
    error_message = "The user-data must begin with the line #cloud-config."
  }
}

variable "meta_data" {
  description = "cloud-init meta-data. No secrets."
  type        = string

  validation {
    condition     = can(yamldecode(var.meta_data)["instance-id"])
    error_message = "The meta-data must be YAML with an instance-id."
  }
}

variable "network_config" {
  description = "cloud-init network configuration, version 2. No secrets."
  type        = string

  validation {
    condition     = can(yamldecode(var.network_config))
    error_message = "The network configuration must be YAML."
  }
}

# console

variable "console_log_folder" {
  description = "Folder on the host for the log of the serial console. The default is one that AppArmor lets QEMU write to."
  type        = string
  default     = "/var/log/libvirt/qemu"

  validation {
    condition     = startswith(var.console_log_folder, "/")
    error_message = "The folder must be an absolute path."
  }
}
