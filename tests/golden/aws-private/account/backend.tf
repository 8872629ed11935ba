# The bucket is one that this root makes itself: the first run keeps its state beside it, the second moves it.

terraform {
  backend "s3" {
    bucket = "own-eu-west-1-123456789012"
    key    = "account/terraform.tfstate"
    region = "eu-west-1"

    # whose
    allowed_account_ids = ["123456789012"]
    encrypt             = true

    # one writer at a time
    dynamodb_table = "zave-locks-123456789012"
  }
}
