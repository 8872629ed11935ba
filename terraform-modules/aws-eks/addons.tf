locals {
  # by name: what it is configured with, and the role and service account of those that call AWS
  before_nodes = {
    eks-pod-identity-agent = { configuration = null, identity = null }
    kube-proxy             = { configuration = null, identity = null }
    vpc-cni = {
      configuration = jsonencode({
        enableNetworkPolicy = "true"
        # an interface that is left behind says whose it was
        env = { ADDITIONAL_ENI_TAGS = jsonencode(var.tags) }
      })
      identity = { role = aws_iam_role.addon["cni"].arn, service_account = "aws-node" }
    }
  }

  after_nodes = {
    aws-ebs-csi-driver = {
      # a volume that is left behind says whose it was
      configuration = jsonencode({ controller = { extraVolumeTags = var.tags } })
      identity      = { role = aws_iam_role.addon["csi"].arn, service_account = "ebs-csi-controller-sa" }
    }
    coredns = { configuration = null, identity = null }
  }

  addon_names = toset(["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "vpc-cni"])

  # by their path: V2 is not in the folder service-role, as the first one is (AWS managed policy reference, 2026-04)
  addon_policies = {
    cni = "AmazonEKS_CNI_Policy"
    csi = "AmazonEBSCSIDriverPolicyV2"
  }

  # of every role that a pod takes on
  pod_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { Service = "pods.eks.amazonaws.com" }
    }]
  })
}

# The default for the cluster's Kubernetes, not the most recent: what AWS installs and has tested together.
data "aws_eks_addon_version" "this" {
  for_each = local.addon_names

  addon_name         = each.key
  kubernetes_version = var.kubernetes_version
}

# DaemonSets: EKS counts them as running while there is no node, and a node is not ready without them.
resource "aws_eks_addon" "before_nodes" {
  for_each = local.before_nodes

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = data.aws_eks_addon_version.this[each.key].version
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = each.value.identity[*]

    content {
      role_arn        = pod_identity_association.value.role
      service_account = pod_identity_association.value.service_account
    }
  }

  timeouts {
    create = "15m"
    update = "15m"
    delete = "15m"
  }

  tags = { Name = "${local.prefix}-${each.key}" }

  depends_on = [aws_iam_role_policy_attachment.addon]
}

# Deployments: they stay degraded, and Terraform waits for them, until there is a node to run on.
resource "aws_eks_addon" "after_nodes" {
  for_each = local.after_nodes

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = data.aws_eks_addon_version.this[each.key].version
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = each.value.identity[*]

    content {
      role_arn        = pod_identity_association.value.role
      service_account = pod_identity_association.value.service_account
    }
  }

  timeouts {
    create = "15m"
    update = "15m"
    delete = "15m"
  }

  tags = { Name = "${local.prefix}-${each.key}" }

  depends_on = [
    aws_eks_node_group.nodes,
    aws_iam_role_policy_attachment.addon,
  ]
}

resource "aws_iam_role" "addon" {
  for_each = local.addon_policies

  name               = "${local.prefix}-${each.key}"
  path               = local.iam_path
  assume_role_policy = local.pod_trust

  tags = { Name = "${local.prefix}-${each.key}" }
}

resource "aws_iam_role_policy_attachment" "addon" {
  for_each = local.addon_policies

  role       = aws_iam_role.addon[each.key].name
  policy_arn = "${local.policies}/${each.value}"
}
