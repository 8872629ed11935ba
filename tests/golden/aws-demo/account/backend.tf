# The bucket is one that this root makes itself: the first run keeps its state beside it, the second moves it.

terraform {
  backend "s3" {
    bucket = "zave-state-123456789012"
    key    = "account/terraform.tfstate"
    region = "us-east-1"

    # whose
    allowed_account_ids = ["123456789012"]
    encrypt             = true

    # one writer at a time
    use_lockfile = true
  }
}
