terraform {
  required_version = ">= 1.10"

  required_providers {
    # exactly: a provider release may change what an apply does to a running cluster
    aws = {
      source  = "hashicorp/aws"
      version = "6.25.0"
    }
  }
}
