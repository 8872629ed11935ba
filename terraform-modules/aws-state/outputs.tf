output "bucket" {
  description = "Name of the bucket, known once it is private, encrypted and versioned."
  value       = aws_s3_bucket.this.bucket

  depends_on = [
    aws_s3_bucket_ownership_controls.this,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_public_access_block.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_versioning.this,
  ]
}

output "bucket_arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "lock_table" {
  description = "Name of the table for locks; null where a file in the bucket is the lock."
  value       = one(aws_dynamodb_table.lock[*].name)
}
