locals {
  # The provider cannot update a volume (0.9.7: "All changes require replacement"), it replaces one
  # by name alone. So the name tells what the disk was made from.
  disk_generation = substr(sha256(jsonencode([var.base_volume.name, var.disk_bytes])), 0, 8)
}

resource "libvirt_volume" "disk" {
  name     = "${var.name}-${local.disk_generation}.qcow2"
  pool     = var.pool
  capacity = var.disk_bytes

  target = {
    format = {
      type = "qcow2"
    }
  }

  backing_store = {
    path = var.base_volume.path
    format = {
      type = "qcow2"
    }
  }
  lifecycle {
    # read back differently after an import, and covered by the name
    ignore_changes = [backing_store, target]
  }
}
