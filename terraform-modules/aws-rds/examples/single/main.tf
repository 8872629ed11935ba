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
}

module "network" {
  source = "../../../aws-vpc"

  instance     = "example"
  cluster_name = "zave-example"
  cidr         = "10.43.0.0/16"
  zones        = ["us-east-1a", "us-east-1b"]
}

resource "aws_security_group" "client" {
  #checkov:skip=CKV2_AWS_5:yours to attach to whatever connects
  name        = "zave-example-client"
  description = "May connect to the database"
  vpc_id      = module.network.vpc_id
}

module "database" {
  source = "../.."

  instance               = "example"
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.private_subnet_ids
  client_security_groups = { client = aws_security_group.client.id }
}

output "address" {
  description = "Host name of the database."
  value       = module.database.address
}
