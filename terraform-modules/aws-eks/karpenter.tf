# Karpenter makes machines that Terraform does not know. So its rights end at this cluster, and at
# machines that carry the owner's tag.

locals {
  karpenter       = var.karpenter ? 1 : 0
  karpenter_trust = { namespace = "kube-system", service_account = "karpenter" }
  owned           = { "kubernetes.io/cluster/${local.prefix}" = "owned" }
  launched        = ["fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume"]
  launched_arns   = [for kind in local.launched : "${local.ec2}:${kind}/*"]
}

resource "aws_iam_role" "karpenter" {
  count = local.karpenter

  name               = "${local.prefix}-karpenter"
  path               = local.iam_path
  assume_role_policy = local.pod_trust

  tags = { Name = "${local.prefix}-karpenter" }
}

# The calls are those of Karpenter's published policy, without making instance profiles: it is given one,
# since its own ones are left behind (aws/karpenter-provider-aws issue 4575, 2023).
resource "aws_iam_role_policy" "karpenter" {
  count = local.karpenter

  name = "provision"
  role = aws_iam_role.karpenter[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Resource = "*"
        Action = [
          "ec2:DescribeCapacityReservations",
          "ec2:DescribeImages",
          "ec2:DescribeInstanceStatus",
          "ec2:DescribeInstanceTypeOfferings",
          "ec2:DescribeInstanceTypes",
          "ec2:DescribeInstances",
          "ec2:DescribeLaunchTemplates",
          "ec2:DescribePlacementGroups",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSpotPriceHistory",
          "ec2:DescribeSubnets",
          "pricing:GetProducts",
        ]
      },
      {
        Sid      = "LookIntoImages"
        Effect   = "Allow"
        Resource = "arn:${data.aws_partition.current.partition}:ssm:${data.aws_region.current.region}::parameter/aws/service/*"
        Action   = "ssm:GetParameter"
      },
      {
        Sid      = "LookIntoTheCluster"
        Effect   = "Allow"
        Resource = aws_eks_cluster.this.arn
        Action   = "eks:DescribeCluster"
      },
      {
        Sid    = "LaunchFrom"
        Effect = "Allow"
        Resource = concat(
          ["arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}::image/*"],
          ["arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}::snapshot/*"],
          ["${local.ec2}:capacity-reservation/*", "${local.ec2}:placement-group/*"],
          ["${local.ec2}:security-group/*", "${local.ec2}:subnet/*"],
        )
        Action = ["ec2:CreateFleet", "ec2:RunInstances"]
      },
      {
        Sid      = "LaunchByOwnTemplates"
        Effect   = "Allow"
        Resource = "${local.ec2}:launch-template/*"
        Action   = ["ec2:CreateFleet", "ec2:RunInstances"]
        Condition = {
          StringEquals = { for key, value in local.owned : "aws:ResourceTag/${key}" => value }
        }
      },
      {
        # what it makes must say whose it is: EC2NodeClasses set the tags of the instance
        Sid      = "LaunchWithTags"
        Effect   = "Allow"
        Resource = local.launched_arns
        Action   = ["ec2:CreateFleet", "ec2:CreateLaunchTemplate", "ec2:RunInstances"]
        Condition = {
          StringEquals = { for key, value in merge(var.tags, local.owned) : "aws:RequestTag/${key}" => value }
        }
      },
      {
        Sid      = "NameAtLaunch"
        Effect   = "Allow"
        Resource = local.launched_arns
        Action   = "ec2:CreateTags"
        Condition = {
          StringEquals = merge(
            { for key, value in merge(var.tags, local.owned) : "aws:RequestTag/${key}" => value },
            { "ec2:CreateAction" = ["CreateFleet", "CreateLaunchTemplate", "RunInstances"] },
          )
        }
      },
      {
        Sid      = "NameAfterwards"
        Effect   = "Allow"
        Resource = "${local.ec2}:instance/*"
        Action   = "ec2:CreateTags"
        Condition = {
          StringEquals                = { for key, value in local.owned : "aws:ResourceTag/${key}" => value }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["Name", "eks:eks-cluster-name", "karpenter.sh/nodeclaim"] }
        }
      },
      {
        Sid      = "Remove"
        Effect   = "Allow"
        Resource = ["${local.ec2}:instance/*", "${local.ec2}:launch-template/*"]
        Action   = ["ec2:DeleteLaunchTemplate", "ec2:TerminateInstances"]
        Condition = {
          StringEquals = { for key, value in local.owned : "aws:ResourceTag/${key}" => value }
          StringLike   = { "aws:ResourceTag/karpenter.sh/nodepool" = "*" }
        }
      },
      {
        Sid       = "GiveNodesTheirRole"
        Effect    = "Allow"
        Resource  = aws_iam_role.provisioned[0].arn
        Action    = "iam:PassRole"
        Condition = { StringEquals = { "iam:PassedToService" = "ec2.${data.aws_partition.current.dns_suffix}" } }
      },
      {
        Sid      = "ReadTheProfile"
        Effect   = "Allow"
        Resource = aws_iam_instance_profile.provisioned[0].arn
        Action   = "iam:GetInstanceProfile"
      },
      {
        # its garbage collection asks for the profiles that it never makes here
        Sid      = "ListProfiles"
        Effect   = "Allow"
        Resource = "*"
        Action   = "iam:ListInstanceProfiles"
      },
      {
        Sid      = "HearOfInterruptions"
        Effect   = "Allow"
        Resource = aws_sqs_queue.interruptions[0].arn
        Action   = ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "karpenter" {
  count = local.karpenter

  cluster_name    = aws_eks_cluster.this.name
  namespace       = local.karpenter_trust.namespace
  service_account = local.karpenter_trust.service_account
  role_arn        = aws_iam_role.karpenter[0].arn

  tags = { Name = "${local.prefix}-karpenter-identity" }
}

# the machines

resource "aws_iam_role" "provisioned" {
  count = local.karpenter

  name               = "${local.prefix}-provisioned"
  path               = local.iam_path
  assume_role_policy = local.node_trust

  tags = { Name = "${local.prefix}-provisioned" }
}

resource "aws_iam_role_policy_attachment" "provisioned" {
  for_each = var.karpenter ? local.node_policies : []

  role       = aws_iam_role.provisioned[0].name
  policy_arn = "${local.policies}/${each.key}"
}

resource "aws_iam_instance_profile" "provisioned" {
  count = local.karpenter

  name = "${local.prefix}-provisioned"
  path = local.iam_path
  role = aws_iam_role.provisioned[0].name

  tags = { Name = "${local.prefix}-provisioned-profile" }
}

resource "aws_eks_access_entry" "provisioned" {
  count = local.karpenter

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_iam_role.provisioned[0].arn
  type          = "EC2_LINUX"

  tags = { Name = "${local.prefix}-provisioned-access" }
}
