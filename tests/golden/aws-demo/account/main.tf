# The standing parts in account "123456789012": made by zave from templates/terraform/aws-account, written anew by every run.
# Values are in zave.auto.tfvars.json, where nothing in them is evaluated.

provider "aws" {
  region = var.region
  # another account's credentials are refused before anything is asked of it
  allowed_account_ids = [var.account]

  default_tags {
    tags = var.tags
  }
}

module "state" {
  source = "./terraform-modules/aws-state"

  bucket        = var.bucket
  lock_table    = var.lock_table
  force_destroy = var.force_destroy
}

module "switch" {
  source = "./terraform-modules/aws-ttl"

  # where the destroyer finds what it needs
  bucket     = module.state.bucket
  lock_table = var.lock_table

  # the destroyer
  destroyer_role = var.destroyer_role

  # who hears of it
  email  = var.email
  budget = var.budget
}
