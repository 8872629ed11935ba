terraform {
  required_version = ">= 1.10"

  required_providers {
    # exactly: a provider release may change what an apply does to running machines
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "0.9.7"
    }
  }
}
