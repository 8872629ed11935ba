# Made before EKS makes it, so that it has an end: EKS keeps logs for ever and leaves them behind.
resource "aws_cloudwatch_log_group" "cluster" {
  #checkov:skip=CKV_AWS_158:CloudWatch's own key serves logs that live for days
  #checkov:skip=CKV_AWS_338:a demo that lives for days needs no logs of a year
  # EKS writes to this name and to no other
  name              = "/aws/eks/${local.prefix}/cluster"
  retention_in_days = var.log_retention_days

  tags = { Name = "${local.prefix}-logs" }
}
