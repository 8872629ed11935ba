# The rights of Velero, which comes by GitOps: its own folder of a bucket that is there already and outlives the
# cluster. The calls are those of its plugin's README (vmware-tanzu/velero-plugin-for-aws, read 2026-11-23) without
# those for snapshots of volumes, which the tree turns off, and without tags, which it sets none of.

locals {
  backups       = var.backups == null ? 0 : 1
  backup_bucket = [for bucket in var.backups[*].bucket : "arn:${data.aws_partition.current.partition}:s3:::${bucket}"]
}

resource "aws_iam_role" "backups" {
  count = local.backups

  name               = "${local.prefix}-backups"
  path               = local.iam_path
  assume_role_policy = local.pod_trust

  tags = { Name = "${local.prefix}-backups" }
}

resource "aws_iam_role_policy" "backups" {
  count = local.backups

  name = "back-up"
  role = aws_iam_role.backups[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Without a condition on the prefix: before a backup it asks for an object that is not there yet, and S3
        # says so only to those who may list the bucket, else 403 (API reference, HeadObject). So it may see
        # the names of other folders, and open none.
        Sid      = "List"
        Effect   = "Allow"
        Resource = local.backup_bucket
        Action   = "s3:ListBucket"
      },
      {
        Sid      = "OwnFolder"
        Effect   = "Allow"
        Resource = [for bucket in local.backup_bucket : "${bucket}/${local.prefix}/*"]
        Action = [
          "s3:AbortMultipartUpload",
          "s3:DeleteObject",
          "s3:GetObject",
          "s3:ListMultipartUploadParts",
          "s3:PutObject",
        ]
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "backups" {
  count = local.backups

  cluster_name    = aws_eks_cluster.this.name
  namespace       = "velero"
  service_account = "velero-server"
  role_arn        = aws_iam_role.backups[0].arn

  tags = { Name = "${local.prefix}-backups-identity" }
}
