locals {
  # in this order; each may be run again, and alone on any Debian or Ubuntu
  scripts = [
    "${path.root}/scripts/update-packages.sh",
    "${path.root}/scripts/harden-os.sh",
    "${path.root}/scripts/install-k3s-prereqs.sh",
  ]

  tags = {
    "zave:image"       = "k3s-base"
    "zave:base"        = var.distribution
    "zave:fingerprint" = var.fingerprint
    "zave:build"       = var.build_token
  }
}

source "qemu" "k3s-base" {
  # image
  iso_url      = var.source_image
  iso_checksum = var.source_checksum
  disk_image   = true
  disk_size    = var.disk_size
  format       = "qcow2"

  # machine; a build that loses its host is done again, so nothing waits for the host's disk
  accelerator    = var.accelerator
  cpus           = var.cpus
  memory         = var.memory
  headless       = true
  net_device     = "virtio-net"
  disk_interface = "virtio"
  disk_cache     = "unsafe"
  disk_discard   = "unmap"
  qemuargs = [
    ["-serial", "file:${var.output_directory}.console.log"],
    # first boot: where cloud-init finds its seed. Debian's cloud kernel sees no CD on an IDE bus.
    ["-smbios", "type=1,serial=ds=nocloud-net;s=http://10.0.2.2:{{ .HTTPPort }}/"],
  ]
  http_directory    = var.seed_folder
  http_bind_address = "127.0.0.1"

  # access
  ssh_username         = var.ssh_username
  ssh_private_key_file = var.ssh_private_key_file
  ssh_timeout          = "20m"

  # the end takes the account that cloud-init made for the build, and its right to become root: systemd does it,
  # which outlives the account's last session. An AMI keeps the account: each instance makes the same one.
  shutdown_command = join("", [
    "sudo systemd-run --quiet sh -c '",
    "rm -f /etc/sudoers.d/90-cloud-init-users; userdel --force --remove ${var.ssh_username}; systemctl poweroff'",
  ])

  # result
  output_directory = var.output_directory
  vm_name          = "k3s-base-${var.distribution}.qcow2"
}

build {
  sources = ["source.qemu.k3s-base", "source.amazon-ebs.k3s-base"]

  # cloud-init may still hold apt's lock
  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || true"]
  }

  provisioner "shell" {
    scripts         = local.scripts
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
  }

  # what has become of it, for zave's manifest
  provisioner "shell" {
    script          = "${path.root}/scripts/record-image.sh"
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
    environment_vars = [
      "ZAVE_IMAGE=k3s-base",
      "ZAVE_DISTRIBUTION=${var.distribution}",
      "ZAVE_FINGERPRINT=${var.fingerprint}",
      "ZAVE_SOURCE_CHECKSUM=${var.source_checksum}",
      "ZAVE_SCRIPTS_DIGEST=${var.scripts_digest}",
    ]
  }

  # one by one: Packer 1.6.6 writes all of several `sources` into the first one's file (tried, 2026-11-23)
  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/zave-image/image.json"
    destination = "${var.manifest_directory}/image.json"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/zave-image/packages.txt"
    destination = "${var.manifest_directory}/packages.txt"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/var/tmp/zave-image/lynis-report.dat"
    destination = "${var.manifest_directory}/lynis-report.dat"
  }

  # the next boot is a machine's first
  provisioner "shell" {
    script          = "${path.root}/scripts/reset-identity.sh"
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
  }
}
