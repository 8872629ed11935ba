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
    tags = {
      "zave:standing"       = "true"
      "cloud-nuke-excluded" = "true"
    }
  }
}

variable "email" {
  description = "Address for warnings and alarms."
  type        = string
}

data "aws_caller_identity" "current" {}

module "state" {
  source = "../../../aws-state"

  bucket = "zave-example-${data.aws_caller_identity.current.account_id}"
}

module "switch" {
  source = "../.."

  bucket         = module.state.bucket
  destroyer_role = "zave-destroyer-us-east-1-${data.aws_caller_identity.current.account_id}"
  email          = var.email
  budget         = { usd = 20, alerts = [50, 80, 100] }
}

output "project_name" {
  description = "CodeBuild project that runs the destroyer."
  value       = module.switch.project_name
}
