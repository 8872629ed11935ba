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

data "aws_caller_identity" "current" {}

module "state" {
  source = "../.."

  bucket = "zave-example-${data.aws_caller_identity.current.account_id}"
}

output "bucket" {
  description = "Name of the bucket."
  value       = module.state.bucket
}
