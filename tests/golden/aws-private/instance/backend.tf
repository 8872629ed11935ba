# Where the state is: a backend takes no variables, so these are written here.

terraform {
  backend "s3" {
    bucket = "own-eu-west-1-123456789012"
    key    = "instances/aws-private/terraform.tfstate"
    region = "eu-west-1"

    # whose
    allowed_account_ids = ["123456789012"]
    encrypt             = true

    # one writer at a time
    dynamodb_table = "zave-locks-123456789012"
  }
}
