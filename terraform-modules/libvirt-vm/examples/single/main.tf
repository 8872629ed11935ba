terraform {
  required_version = ">= 1.10"

  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "0.9.7"
    }
  }
}

provider "libvirt" {
  uri = "qemu:///system"
}

variable "image" {
  description = "Path of a cloud image in qcow2 format on this machine."
  type        = string
}

variable "ssh_public_key" {
  description = "The public key that may log in."
  type        = string
}

resource "libvirt_volume" "base" {
  name = "example-single-base.qcow2"
  pool = "default"

  target = {
    format = {
      type = "qcow2"
    }
  }

  create = {
    content = {
      url = var.image
    }
  }
}

module "vm" {
  source = "../.."

  name       = "example-single"
  vcpu       = 2
  memory_mib = 2048

  pool        = "default"
  base_volume = libvirt_volume.base
  disk_bytes  = 10 * 1024 * 1024 * 1024

  network = "default"
  mac     = "52:54:00:00:00:11"

  user_data      = "#cloud-config\n${yamlencode({ ssh_authorized_keys = [var.ssh_public_key] })}"
  meta_data      = yamlencode({ instance-id = "example-single", local-hostname = "example-single" })
  network_config = yamlencode({ version = 2, ethernets = { primary = { match = { name = "en*" }, dhcp4 = true } } })
}

output "name" {
  description = "Name of the domain."
  value       = module.vm.name
}
