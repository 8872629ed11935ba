resource "libvirt_network" "cluster" {
  name      = var.network.name
  autostart = true

  forward = {
    mode = "nat"
  }

  domain = {
    name       = "${var.cluster_name}.internal"
    local_only = "yes"
  }

  ips = [
    {
      address = cidrhost(var.network.cidr, 1)
      prefix  = tonumber(split("/", var.network.cidr)[1])

      # no range: dnsmasq leases addresses to the hosts named here and to nobody else
      dhcp = {
        hosts = [
          for name in sort(keys(var.reservations)) : {
            name = name
            mac  = var.reservations[name].mac
            ip   = var.reservations[name].address
          }
        ]
      }
    },
  ]
}
