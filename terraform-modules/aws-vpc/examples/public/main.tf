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
  source = "../.."

  instance     = "example"
  cluster_name = "zave-example"
  cidr         = "10.43.0.0/16"
  zones        = ["us-east-1a", "us-east-1b"]
}

output "node_subnet_ids" {
  description = "Where nodes would run."
  value       = module.network.node_subnet_ids
}
