terraform {
  required_version = ">= 1.10"

  required_providers {
    # 6.25 is the release whose schema the rehearsal knows; 7 may break any of it
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25, < 7.0"
    }
  }
}
