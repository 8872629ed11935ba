locals {
  ami_types = {
    amd64 = "AL2023_x86_64_STANDARD"
    arm64 = "AL2023_ARM_64_STANDARD"
  }

  # addresses come from the CNI's own role: a node need not be able to move network interfaces
  node_policies = toset([
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonEKSWorkerNodePolicy",
    "AmazonSSMManagedInstanceCore",
  ])

  node_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.${data.aws_partition.current.dns_suffix}" }
    }]
  })
}

resource "aws_eks_node_group" "nodes" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "${local.prefix}-nodes"
  node_role_arn   = aws_iam_role.nodes.arn
  subnet_ids      = var.node_subnet_ids

  version        = aws_eks_cluster.this.version
  ami_type       = local.ami_types[var.nodes.architecture]
  capacity_type  = var.nodes.spot ? "SPOT" : "ON_DEMAND"
  instance_types = var.nodes.instance_types

  launch_template {
    id      = aws_launch_template.nodes.id
    version = aws_launch_template.nodes.latest_version
  }

  # nothing but Terraform scales the group (Karpenter adds machines of its own), and EKS refuses a minimum above
  # what is desired
  scaling_config {
    min_size     = var.nodes.minimum
    desired_size = var.nodes.minimum
    max_size     = var.nodes.maximum
  }

  update_config {
    max_unavailable = 1
  }

  # together with the cluster's and the add-ons': see there
  timeouts {
    create = "20m"
    update = "30m"
    delete = "20m"
  }

  tags = { Name = "${local.prefix}-nodes" }

  # a node without its rights or its network never becomes ready; at the end the rights go last, also those to
  # take back the names in DNS
  depends_on = [
    aws_eks_addon.before_nodes,
    aws_eks_pod_identity_association.dns,
    aws_iam_role_policy.dns,
    aws_iam_role_policy_attachment.nodes,
  ]
}

resource "aws_launch_template" "nodes" {
  name        = "${local.prefix}-nodes"
  description = "Nodes of the cluster ${local.prefix}"

  # no credentials of the node for pods: a hop of 1 ends at the node itself
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    # the root device of Amazon Linux 2023
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.nodes.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # the group's own tags reach none of these
  dynamic "tag_specifications" {
    for_each = toset(["instance", "network-interface", "volume"])

    content {
      resource_type = tag_specifications.key
      tags          = merge(var.tags, { Name = "${local.prefix}-node" })
    }
  }

  tags = { Name = "${local.prefix}-template" }
}

resource "aws_iam_role" "nodes" {
  name               = "${local.prefix}-nodes"
  path               = local.iam_path
  assume_role_policy = local.node_trust

  tags = { Name = "${local.prefix}-nodes-role" }
}

resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = local.node_policies

  role       = aws_iam_role.nodes.name
  policy_arn = "${local.policies}/${each.key}"
}
