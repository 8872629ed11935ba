data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  prefix = "zave-${var.instance}"
  # IAM's own folders: `/zave/a/` names the roles of `a` alone, `zave-a-*` would those of `a-b` as well
  iam_path = "/zave/${var.instance}/"
  policies = "arn:${data.aws_partition.current.partition}:iam::aws:policy"
}

resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_37:controllerManager and scheduler write much that a demo reads never; log_types adds them
  #checkov:skip=CKV_AWS_39:people need the endpoint, and public_cidrs says who
  name     = local.prefix
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  # a protected cluster outlives its switch
  deletion_protection = false
  # add-ons below instead: those that EKS installs by itself are not Terraform's to configure
  bootstrap_self_managed_addons = false
  enabled_cluster_log_types     = var.log_types

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  kubernetes_network_config {
    ip_family         = "ipv4"
    service_ipv4_cidr = var.service_cidr
  }

  upgrade_policy {
    # EXTENDED, AWS's default, costs six times as much once standard support ends
    support_type = "STANDARD"
  }

  vpc_config {
    subnet_ids              = var.cluster_subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = var.public_cidrs
  }

  # no apply may take longer than its lock is believed (LONGEST_APPLY)
  timeouts {
    create = "30m"
    update = "30m"
    delete = "15m"
  }

  tags = { Name = local.prefix }

  lifecycle {
    # They count when the cluster is made and AWS does not tell them afterwards: a cluster that was imported
    # after a crash would be made anew for them.
    ignore_changes = [
      access_config[0].bootstrap_cluster_creator_admin_permissions,
      bootstrap_self_managed_addons,
    ]
  }

  # without its rights the control plane cannot remove its own network interfaces at the end;
  # without the log group EKS makes one that Terraform does not know
  depends_on = [
    aws_cloudwatch_log_group.cluster,
    aws_iam_role_policy.cluster,
    aws_iam_role_policy_attachment.cluster,
  ]
}

resource "aws_iam_role" "cluster" {
  name = "${local.prefix}-cluster"
  path = local.iam_path

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "eks.amazonaws.com" }
    }]
  })

  tags = { Name = "${local.prefix}-cluster" }
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.policies}/AmazonEKSClusterPolicy"
}

resource "aws_iam_role_policy" "cluster" {
  name = "secrets"
  role = aws_iam_role.cluster.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"]
      Resource = aws_kms_key.secrets.arn
    }]
  })
}
