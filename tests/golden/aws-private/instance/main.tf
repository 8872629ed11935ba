# "aws-private" (aws-eks): made by zave from templates/terraform/aws-eks, written anew by every run.
# Values are in zave.auto.tfvars.json, where nothing in them is evaluated.

provider "aws" {
  region = var.region
  # another account's credentials are refused before anything is asked of it
  allowed_account_ids = [var.account]

  default_tags {
    tags = var.tags
  }
}

data "aws_partition" "current" {}

data "aws_availability_zones" "usable" {
  #checkov:skip=CKV_AWS_394:another answer does not move subnets that stand, see the module
  state = "available"
  # in these EKS puts no control plane (EKS user guide, "Amazon EKS networking requirements")
  exclude_zone_ids = ["cac1-az3", "use1-az3", "usw1-az2"]

  # zones proper: local ones have to be opted into
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

module "network" {
  source = "./terraform-modules/aws-vpc"

  # identity
  instance     = var.instance
  cluster_name = "zave-${var.instance}"

  # addresses
  cidr  = var.cidr
  zones = slice(sort(data.aws_availability_zones.usable.names), 0, 2)

  # ways out
  nat = var.nat
}

module "cluster" {
  source = "./terraform-modules/aws-eks"

  # identity
  instance           = var.instance
  tags               = var.tags
  kubernetes_version = var.kubernetes_version

  # network
  vpc_id             = module.network.vpc_id
  cluster_subnet_ids = module.network.private_subnet_ids
  node_subnet_ids    = module.network.node_subnet_ids

  # access
  public_cidrs = var.public_cidrs
  administrators = merge(var.administrators, {
    destroyer = "arn:${data.aws_partition.current.partition}:iam::${var.account}:role/zave/standing/${var.destroyer_role}"
  })

  # nodes
  nodes     = var.nodes
  karpenter = var.karpenter

  # what pods may do outside the cluster
  dns     = var.dns
  backups = var.backups
}

module "images" {
  source = "./terraform-modules/aws-ecr"

  instance     = var.instance
  repositories = var.repositories
}

module "database" {
  source = "./terraform-modules/aws-rds"
  count  = var.database == null ? 0 : 1

  instance = var.instance

  # network
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  client_security_groups = { cluster = module.cluster.security_group_id }

  # size
  instance_class = var.database.instance_class
  storage_gb     = var.database.storage_gb
}
