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

locals {
  addresses = {
    example-control-plane-1 = "10.17.9.11"
    example-worker-1        = "10.17.9.21"
    example-worker-2        = "10.17.9.22"
  }

  hosts = {
    for name, address in local.addresses : name => {
      address = address
      mac     = format("52:54:00:00:09:%02x", tonumber(split(".", address)[3]))
    }
  }
}

module "cluster" {
  source = "../.."

  cluster_name       = "example"
  kubernetes_version = "v1.35"
  image_path         = var.image
  network            = { name = "zave-example", cidr = "10.17.9.0/24" }
  reservations       = local.hosts

  nodes = {
    for name, host in local.hosts : name => {
      role           = strcontains(name, "control-plane") ? "control-plane" : "worker"
      address        = host.address
      mac            = host.mac
      vcpu           = 4
      memory_mib     = 8192
      disk_bytes     = 50 * 1024 * 1024 * 1024
      user_data      = "#cloud-config\n${yamlencode({ ssh_authorized_keys = [var.ssh_public_key] })}"
      meta_data      = yamlencode({ instance-id = name, local-hostname = name })
      network_config = yamlencode({ version = 2, ethernets = { primary = { match = { name = "en*" }, dhcp4 = true } } })
    }
  }
}

output "nodes" {
  description = "Role and address of each node."
  value       = module.cluster.nodes
}
