module "node" {
  source   = "../libvirt-vm"
  for_each = var.nodes

  name = "zave-${each.key}"

  # compute
  type       = var.acceleration
  vcpu       = each.value.vcpu
  memory_mib = each.value.memory_mib

  # storage
  pool        = var.pool
  base_volume = { name = libvirt_volume.base.name, path = libvirt_volume.base.path }
  disk_bytes  = each.value.disk_bytes

  # network
  network = libvirt_network.cluster.name
  mac     = each.value.mac

  # first boot
  user_data      = each.value.user_data
  meta_data      = each.value.meta_data
  network_config = each.value.network_config
}
