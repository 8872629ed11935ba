# Where the state is: a backend takes no variables, so these are written here.

terraform {
  backend "s3" {
    bucket = "zave-state-123456789012"
    key    = "instances/aws-demo/terraform.tfstate"
    region = "us-east-1"

    # whose
    allowed_account_ids = ["123456789012"]
    encrypt             = true

    # one writer at a time
    use_lockfile = true
  }
}
