locals {
  scripts = [
    "${path.root}/scripts/update-packages.sh",
    "${path.root}/scripts/harden-os.sh",
    "${path.root}/scripts/install-k3s-prereqs.sh",
  ]

  tags = {
    "zave:image"       = "k3s-base"
    "zave:base"        = var.distribution
    "zave:fingerprint" = var.fingerprint
  }
}

source "qemu" "k3s-base" {
  # image
  iso_url      = var.source_image
  iso_checksum = var.source_checksum
  disk_image   = true
  disk_size    = var.disk_size
  format       = "qcow2"

  # machine
  accelerator    = var.accelerator
  cpus           = 2
  memory         = 2048
  headless       = true
  net_device     = "virtio-net"
  disk_interface = "virtio"
  qemuargs       = [["-serial", "file:${var.output_directory}.console.log"]]

  # first boot: a seed labelled as cloud-init's NoCloud source looks for it
  cd_files = ["${var.seed_folder}/meta-data", "${var.seed_folder}/user-data"]
  cd_label = "cidata"

  # access
  ssh_username         = var.ssh_username
  ssh_private_key_file = var.ssh_private_key_file
  ssh_timeout          = "20m"
  shutdown_command     = "sudo shutdown -P now"

  # result
  output_directory = var.output_directory
  vm_name          = "k3s-base-${var.distribution}.qcow2"
}

source "amazon-ebs" "k3s-base" {
  # image
  region = var.region
  source_ami_filter {
    filters = {
      name                = var.ami_name_filter
      architecture        = "x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = [var.ami_owner]
    most_recent = true
  }

  # machine
  instance_type = "t3.medium"

  # access
  ssh_username = var.ssh_username

  # result
  ami_name        = "zave-k3s-base-${var.distribution}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ami_description = "k3s-base on ${var.distribution}, built by zave"
  encrypt_boot    = true
  tags            = local.tags
  snapshot_tags   = local.tags
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
    environment_vars = [
      "DEBIAN_FRONTEND=noninteractive",
      "ZAVE_FINGERPRINT=${var.fingerprint}",
    ]
  }

  # the next boot is a machine's first: no identity of the build may survive
  provisioner "shell" {
    inline = [
      "sudo cloud-init clean --logs --seed",
      "sudo rm -f /etc/ssh/ssh_host_*",
      "sudo truncate -s 0 /etc/machine-id",
      "rm -f ~/.ssh/authorized_keys",
    ]
  }
}
