resource "libvirt_cloudinit_disk" "seed" {
  name           = "${var.name}-seed"
  user_data      = var.user_data
  meta_data      = var.meta_data
  network_config = var.network_config
}

resource "libvirt_volume" "seed" {
  name = "${var.name}-seed.iso"
  pool = var.pool

  create = {
    content = {
      url = libvirt_cloudinit_disk.seed.path
    }
  }

  lifecycle {
    # A new seed makes a new volume, since the provider cannot update one. The seed's image lies in the
    # host's temporary folder and is made again after a reboot: that alone must not touch the volume.
    replace_triggered_by = [libvirt_cloudinit_disk.seed]
    ignore_changes       = [create]
  }
}
