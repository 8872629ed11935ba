# A home lab: written by zave from templates/terraform/libvirt-k3s, anew by every run.
# Values are in zave.auto.tfvars.json, where nothing in them is evaluated.

provider "libvirt" {
  uri = var.libvirt_uri
}

module "cluster" {
  source = "./terraform-modules/k3s-cluster"

  # identity
  cluster_name       = var.cluster_name
  kubernetes_version = var.kubernetes_version

  # compute
  acceleration = var.acceleration
  nodes        = var.nodes

  # storage
  pool       = var.pool
  image_path = var.image_path

  # network
  network      = var.network
  reservations = var.reservations
}
