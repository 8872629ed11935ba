terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }
}

provider "aws" {
  region = "us-east-1"

  default_tags {
    tags = local.tags
  }
}

variable "public_cidr" {
  description = "Your own network, which may reach the API server, such as 203.0.113.7/32."
  type        = string
}

variable "zone_id" {
  description = "Your own hosted zone for demo.example.org, or for example.org."
  type        = string
  default     = "Z0123456789ABCDEFGHIJ"
}

variable "bucket" {
  description = "Your own bucket for backups."
  type        = string
  default     = "example-backups"
}

locals {
  tags = { "zave:instance" = "example" }
}

module "network" {
  source = "../../../aws-vpc"

  instance     = "example"
  cluster_name = "zave-example"
  cidr         = "10.43.0.0/16"
  zones        = ["us-east-1a", "us-east-1b"]
}

module "cluster" {
  source = "../.."

  instance           = "example"
  tags               = local.tags
  kubernetes_version = "1.35"

  vpc_id             = module.network.vpc_id
  cluster_subnet_ids = module.network.private_subnet_ids
  node_subnet_ids    = module.network.node_subnet_ids

  public_cidrs = [var.public_cidr]
  nodes        = { instance_types = ["t3.large", "t3a.large"] }
  karpenter    = false

  # names below demo.example.org for what the cluster serves, and backups of its objects
  dns     = { zone_id = var.zone_id, domain = "demo.example.org" }
  backups = { bucket = var.bucket }
}

output "cluster_endpoint" {
  description = "URL of the API server."
  value       = module.cluster.cluster_endpoint
}
