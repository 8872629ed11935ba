terraform {
  required_version = ">= 1.10"

  required_providers {
    # 0.9.0 was a rewrite whose schema mirrors libvirt's XML; it still moves between minor releases
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = ">= 0.9.7, < 0.10.0"
    }
  }
}
