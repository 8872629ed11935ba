locals {
  # the name tells which image it is: the provider replaces a volume by name, it cannot update one
  image_generation = substr(sha256(var.image_path), 0, 8)
}

resource "libvirt_volume" "base" {
  name = "zave-${var.cluster_name}-base-${local.image_generation}.qcow2"
  pool = var.pool

  target = {
    format = {
      type = "qcow2"
    }
  }

  create = {
    content = {
      url = var.image_path
    }
  }
  lifecycle {
    # not read back after an import, and covered by the name
    ignore_changes = [create, target]
  }
}
