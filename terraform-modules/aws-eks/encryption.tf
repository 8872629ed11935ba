resource "aws_kms_key" "secrets" {
  description             = "Secrets of the cluster ${local.prefix}"
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days

  # the account's own policies decide; without this statement nobody could ever delete the key
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Account"
      Effect    = "Allow"
      Action    = "kms:*"
      Resource  = "*"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
    }]
  })

  tags = { Name = "${local.prefix}-secrets" }
}

resource "aws_kms_alias" "secrets" {
  name          = "alias/${local.prefix}-secrets"
  target_key_id = aws_kms_key.secrets.key_id
}
