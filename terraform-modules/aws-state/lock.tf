# Deprecated by Terraform in favour of the lock file; here for those whose policies ask for a table.
resource "aws_dynamodb_table" "lock" {
  count = var.lock_table == null ? 0 : 1

  #checkov:skip=CKV_AWS_119:it holds ids of locks, encrypted with AWS's key
  name         = var.lock_table
  billing_mode = "PAY_PER_REQUEST"
  # Terraform's S3 backend asks for a key of this name
  hash_key = "LockID"

  attribute {
    name = "LockID"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  tags = { Name = var.lock_table }
}
