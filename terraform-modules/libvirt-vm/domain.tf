locals {
  # Not `libvirt_volume.seed.path`, which is unknown while a new seed is uploaded: the provider would
  # restart the machine for a file that it reads at its first boot only.
  seed_path = "${dirname(libvirt_volume.disk.path)}/${libvirt_volume.seed.name}"
}

resource "libvirt_domain" "this" {
  name      = var.name
  type      = var.type
  autostart = var.autostart
  running   = true

  # a change of compute or devices needs a machine that is off: it is asked to go down, and cut off after that
  update = {
    shutdown = { timeout = var.shutdown_timeout }
  }

  # compute
  vcpu        = var.vcpu
  memory      = var.memory_mib
  memory_unit = "MiB"

  cpu = {
    # under emulation the host's own processor cannot be passed on
    mode = var.type == "kvm" ? "host-passthrough" : "maximum"
  }

  # boot
  os = {
    type         = "hvm"
    type_arch    = "x86_64"
    type_machine = "q35"
    boot_devices = [{ dev = "hd" }]
  }

  features = {
    # without ACPI a guest ignores a request to shut down
    acpi = true
  }

  devices = {
    disks = [
      # files, not volumes: AppArmor's profile of a domain does not look inside pools
      {
        source = {
          file = { file = libvirt_volume.disk.path }
        }
        target = { dev = "vda", bus = "virtio" }
        driver = { name = "qemu", type = "qcow2" }
      },
      # a virtio disk: Debian's cloud kernel has no AHCI and would not see a SATA CD-ROM
      {
        source = {
          file = { file = local.seed_path }
        }
        target    = { dev = "vdb", bus = "virtio" }
        driver    = { name = "qemu", type = "raw" }
        read_only = true
      },
    ]

    interfaces = [
      {
        mac   = { address = var.mac }
        model = { type = "virtio" }
        source = {
          network = { network = var.network }
        }
        wait_for_ip = {
          timeout = var.lease_timeout
          source  = "lease"
        }
      },
    ]

    serials = [
      {
        target = { type = "isa-serial", port = 0 }
        log    = { file = "${var.console_log_folder}/${var.name}-console.log", append = "off" }
      },
    ]

    rngs = [
      {
        model   = "virtio"
        backend = { random = "/dev/urandom" }
      },
    ]
  }
}
