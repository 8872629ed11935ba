# The rights of the AWS Load Balancer Controller, which comes by GitOps and makes the load balancers of
# Services. The calls are those of its published policy, without what only Ingresses use (certificates,
# WAF, Shield, Cognito); unlike there, it changes nothing that it did not make for this very cluster.

locals {
  balancer_tag = "elbv2.k8s.aws/cluster"
  ec2          = "arn:${data.aws_partition.current.partition}:ec2:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
  elb          = "arn:${data.aws_partition.current.partition}:elasticloadbalancing:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}"
}

resource "aws_iam_role" "balancer" {
  name               = "${local.prefix}-balancer"
  path               = local.iam_path
  assume_role_policy = local.pod_trust

  tags = { Name = "${local.prefix}-balancer" }
}

resource "aws_iam_role_policy" "balancer" {
  #checkov:skip=CKV_AWS_355:the calls that only describe take no resource
  name = "balance"
  role = aws_iam_role.balancer.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Resource = "*"
        Action = [
          "ec2:DescribeAccountAttributes",
          "ec2:DescribeAddresses",
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeCoipPools",
          "ec2:DescribeInstances",
          "ec2:DescribeInternetGateways",
          "ec2:DescribeIpamPools",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroups",
          "ec2:DescribeSubnets",
          "ec2:DescribeTags",
          "ec2:DescribeVpcPeeringConnections",
          "ec2:DescribeVpcs",
          "ec2:GetCoipPoolUsage",
          "ec2:GetSecurityGroupsForVpc",
          "elasticloadbalancing:Describe*",
        ]
      },
      {
        Sid      = "MakeBalancers"
        Effect   = "Allow"
        Resource = "*"
        Action   = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
        Condition = {
          StringEquals = { "aws:RequestTag/${local.balancer_tag}" = local.prefix }
        }
      },
      {
        # the first load balancer of an account makes the role with which ELB works
        Sid       = "LetBalancersWork"
        Effect    = "Allow"
        Resource  = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"
        Action    = "iam:CreateServiceLinkedRole"
        Condition = { StringEquals = { "iam:AWSServiceName" = "elasticloadbalancing.amazonaws.com" } }
      },
      {
        Sid      = "MakeGroups"
        Effect   = "Allow"
        Resource = ["${local.ec2}:security-group/*", "${local.ec2}:vpc/${var.vpc_id}"]
        Action   = "ec2:CreateSecurityGroup"
      },
      {
        Sid      = "NameGroups"
        Effect   = "Allow"
        Resource = "${local.ec2}:security-group/*"
        Action   = "ec2:CreateTags"
        Condition = {
          StringEquals = {
            "aws:RequestTag/${local.balancer_tag}" = local.prefix
            "ec2:CreateAction"                     = "CreateSecurityGroup"
          }
        }
      },
      {
        # also groups of nodes, whose rules let the balancers in
        Sid      = "ChangeRules"
        Effect   = "Allow"
        Resource = "${local.ec2}:security-group/*"
        Action   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
        Condition = {
          ArnEquals = { "ec2:Vpc" = "${local.ec2}:vpc/${var.vpc_id}" }
        }
      },
      {
        Sid      = "ChangeOwnGroups"
        Effect   = "Allow"
        Resource = "${local.ec2}:security-group/*"
        Action   = ["ec2:CreateTags", "ec2:DeleteSecurityGroup", "ec2:DeleteTags"]
        Condition = {
          StringEquals = { "aws:ResourceTag/${local.balancer_tag}" = local.prefix }
        }
      },
      {
        Sid      = "NameBalancers"
        Effect   = "Allow"
        Resource = ["${local.elb}:listener/*", "${local.elb}:loadbalancer/*", "${local.elb}:targetgroup/*"]
        Action   = "elasticloadbalancing:AddTags"
        Condition = {
          StringEquals = {
            "aws:RequestTag/${local.balancer_tag}" = local.prefix
            "elasticloadbalancing:CreateAction"    = ["CreateListener", "CreateLoadBalancer", "CreateTargetGroup"]
          }
        }
      },
      {
        Sid      = "ChangeOwnBalancers"
        Effect   = "Allow"
        Resource = "*"
        Action = [
          "elasticloadbalancing:AddTags",
          "elasticloadbalancing:CreateListener",
          "elasticloadbalancing:DeleteListener",
          "elasticloadbalancing:DeleteLoadBalancer",
          "elasticloadbalancing:DeleteTargetGroup",
          "elasticloadbalancing:DeregisterTargets",
          "elasticloadbalancing:ModifyListener",
          "elasticloadbalancing:ModifyListenerAttributes",
          "elasticloadbalancing:ModifyLoadBalancerAttributes",
          "elasticloadbalancing:ModifyTargetGroup",
          "elasticloadbalancing:ModifyTargetGroupAttributes",
          "elasticloadbalancing:RegisterTargets",
          "elasticloadbalancing:RemoveTags",
          "elasticloadbalancing:SetIpAddressType",
          "elasticloadbalancing:SetSecurityGroups",
          "elasticloadbalancing:SetSubnets",
        ]
        Condition = {
          StringEquals = { "aws:ResourceTag/${local.balancer_tag}" = local.prefix }
        }
      },
    ]
  })
}

resource "aws_eks_pod_identity_association" "balancer" {
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "aws-load-balancer-controller"
  role_arn        = aws_iam_role.balancer.arn

  tags = { Name = "${local.prefix}-balancer-identity" }
}
