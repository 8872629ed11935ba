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

module "images" {
  source = "../.."

  instance     = "example"
  repositories = ["apps", "tools"]
}

output "repositories" {
  description = "URL of each repository."
  value       = module.images.repositories
}
