# What the destroyer may delete. Its session carries a tag `instance`; a thing must say that it is that
# instance's, by its own tag where AWS looks at tags, else by its name.

locals {
  bucket_arn   = "arn:${local.partition}:s3:::${var.bucket}"
  instance     = "$${aws:PrincipalTag/instance}"
  cluster      = "zave-${local.instance}"
  arn          = { for service in ["dynamodb", "eks", "kms", "logs", "scheduler"] : service => "arn:${local.partition}:${service}:${local.region}:${local.account}" }
  iam_arn      = "arn:${local.partition}:iam::${local.account}"
  by_tag       = { StringEquals = { "aws:ResourceTag/zave:instance" = local.instance } }
  lock_actions = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"]

  # calls that describe: most take no resource and no condition. All that the sweep lists, or a list that is
  # not allowed would make the whole inventory fail
  looking = [
    "autoscaling:DescribeAutoScalingGroups",
    "budgets:ViewBudget",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "codebuild:BatchGetBuilds",
    "codebuild:BatchGetProjects",
    "codebuild:ListProjects",
    "dynamodb:DescribeTable",
    "dynamodb:ListTables",
    "dynamodb:ListTagsOfResource",
    "ec2:Describe*",
    "ecr:Describe*",
    "ecr:GetLifecyclePolicy",
    "ecr:List*",
    "eks:Describe*",
    "eks:List*",
    "elasticloadbalancing:Describe*",
    "events:DescribeRule",
    "events:List*",
    "iam:GetInstanceProfile",
    "iam:GetOpenIDConnectProvider",
    "iam:GetPolicy",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListInstanceProfiles",
    "iam:ListInstanceProfilesForRole",
    "iam:ListOpenIDConnectProviders",
    "iam:ListPolicies",
    "iam:ListRolePolicies",
    "iam:ListRoles",
    "kms:DescribeKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:List*",
    "logs:DescribeLogGroups",
    "logs:ListTagsForResource",
    "rds:Describe*",
    "rds:ListTagsForResource",
    "s3:GetBucketTagging",
    "s3:ListAllMyBuckets",
    "scheduler:GetSchedule",
    "scheduler:GetScheduleGroup",
    "scheduler:ListScheduleGroups",
    "scheduler:ListSchedules",
    "scheduler:ListTagsForResource",
    "secretsmanager:ListSecrets",
    "sns:ListSubscriptionsByTopic",
    "sns:ListTagsForResource",
    "sns:ListTopics",
    "sqs:GetQueueAttributes",
    "sqs:List*",
    "tag:GetResources",
  ]

  # calls whose resources AWS lets one pick by tag: those that provider 6.25 makes to delete the types of the
  # modules (its source, 2026), and those of the sweep
  deleting = [
    "autoscaling:DeleteAutoScalingGroup",
    "ec2:DeleteFlowLogs",
    "ec2:DeleteInternetGateway",
    "ec2:DeleteLaunchTemplate",
    "ec2:DeleteNatGateway",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteRoute",
    "ec2:DeleteRouteTable",
    "ec2:DeleteSecurityGroup",
    "ec2:DeleteSnapshot",
    "ec2:DeleteSubnet",
    "ec2:DeleteVolume",
    "ec2:DeleteVpc",
    "ec2:DeleteVpcEndpoints",
    "ec2:DetachInternetGateway",
    "ec2:DisassociateAddress",
    "ec2:DisassociateRouteTable",
    "ec2:ReleaseAddress",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:TerminateInstances",
    "ecr:DeleteLifecyclePolicy",
    "ecr:DeleteRepository",
    "eks:DeleteCluster",
    "eks:UpdateClusterConfig",
    "elasticloadbalancing:DeleteListener",
    "elasticloadbalancing:DeleteLoadBalancer",
    "elasticloadbalancing:DeleteTargetGroup",
    "events:DeleteRule",
    "events:RemoveTargets",
    "iam:DeleteOpenIDConnectProvider",
    "kms:DeleteAlias",
    "kms:ScheduleKeyDeletion",
    "logs:DeleteLogGroup",
    "rds:DeleteDBInstance",
    "rds:DeleteDBSnapshot",
    "rds:DeleteDBSubnetGroup",
    "sqs:DeleteQueue",
    "sqs:SetQueueAttributes",
  ]

  # parts of a cluster: what EKS made of them by itself (an add-on's identities, the access of nodes) has no
  # tag, but their ARNs begin with the cluster's name
  deleting_cluster_parts = [
    "eks:DeleteAccessEntry",
    "eks:DeleteAddon",
    "eks:DeleteNodegroup",
    "eks:DeletePodIdentityAssociation",
    "eks:DisassociateAccessPolicy",
  ]
  cluster_parts = ["access-entry", "addon", "nodegroup", "podidentityassociation"]

  # What AWS and a cluster's controllers make by themselves, by the tag in which they put the cluster's name.
  # What says it in a tag's key alone (kubernetes.io/cluster/NAME) cannot be picked: a policy variable may
  # stand in a value, never in a key (IAM user guide, policy variables).
  deleting_groups = ["ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"]
  deleting_leftovers = {
    # the AWS Load Balancer Controller
    "elbv2.k8s.aws/cluster" = concat([for action in local.deleting : action if startswith(action, "elasticloadbalancing:")], local.deleting_groups)
    # the VPC CNI, and EKS for the group that all of a cluster's machines are in
    "cluster.k8s.amazonaws.com/name" = ["ec2:DeleteNetworkInterface"]
    "aws:eks:cluster-name"           = local.deleting_groups
    # node groups, for what they are made of
    "eks:cluster-name" = ["autoscaling:DeleteAutoScalingGroup", "ec2:DeleteLaunchTemplate"]
  }

  deleting_identities = [
    "iam:DeleteInstanceProfile",
    "iam:DeletePolicy",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:RemoveRoleFromInstanceProfile",
  ]
  identities = ["instance-profile", "policy", "role"]
}

resource "aws_iam_role" "destroyer" {
  name                 = var.destroyer_role
  path                 = local.iam_path
  permissions_boundary = aws_iam_policy.boundary.arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Principal = { AWS = aws_iam_role.project.arn }
      Condition = {
        StringLike                  = { "aws:RequestTag/instance" = "?*" }
        "ForAllValues:StringEquals" = { "aws:TagKeys" = ["instance"] }
      }
    }]
  })

  tags = { Name = "zave-destroyer-role-${local.account}" }
}

resource "aws_iam_role_policy" "look" {
  #checkov:skip=CKV_AWS_355:calls that describe take no resource
  name = "look"
  role = aws_iam_role.destroyer.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = local.looking
      Resource = "*"
    }]
  })
}

resource "aws_iam_role_policy" "delete_by_tag" {
  #checkov:skip=CKV_AWS_355:the condition on the tag is what limits it
  name = "delete-by-tag"
  role = aws_iam_role.destroyer.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "Own"
          Effect    = "Allow"
          Action    = local.deleting
          Resource  = "*"
          Condition = local.by_tag
        },
      ],
      [
        for tag, actions in local.deleting_leftovers : {
          Sid       = "Of${replace(title(replace(tag, "/[^a-z0-9]+/", " ")), " ", "")}"
          Effect    = "Allow"
          Action    = actions
          Resource  = "*"
          Condition = { StringEquals = { "aws:ResourceTag/${tag}" = local.cluster } }
        }
      ],
    )
  })
}

resource "aws_iam_role_policy" "delete_by_name" {
  name = "delete-by-name"
  role = aws_iam_role.destroyer.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Identities"
          Effect   = "Allow"
          Action   = local.deleting_identities
          Resource = [for kind in local.identities : "${local.iam_arn}:${kind}/zave/${local.instance}/*"]
        },
        {
          # what EKS writes again after the cluster is gone has no tag, nor what flow logs do
          Sid      = "Logs"
          Effect   = "Allow"
          Action   = ["logs:DeleteLogGroup"]
          Resource = ["${local.arn.logs}:log-group:/aws/eks/${local.cluster}/*", "${local.arn.logs}:log-group:/zave/${local.instance}/*"]
        },
        {
          Sid      = "PartsOfTheCluster"
          Effect   = "Allow"
          Action   = local.deleting_cluster_parts
          Resource = [for part in local.cluster_parts : "${local.arn.eks}:${part}/${local.cluster}/*"]
        },
        {
          # an alias cannot have a tag; its key must have one
          Sid      = "Aliases"
          Effect   = "Allow"
          Action   = ["kms:DeleteAlias"]
          Resource = ["${local.arn.kms}:alias/${local.cluster}-secrets"]
        },
        {
          # removed at the end; until then it goes on firing, whatever somebody made of it meanwhile. The
          # others announce the end by mail: no instance's name has a dot
          Sid    = "OwnSchedule"
          Effect = "Allow"
          Action = ["scheduler:DeleteSchedule", "scheduler:UpdateSchedule"]
          Resource = [
            "${local.arn.scheduler}:schedule/${aws_scheduler_schedule_group.this.name}/${local.instance}",
            "${local.arn.scheduler}:schedule/${aws_scheduler_schedule_group.this.name}/${local.instance}.warn-*",
          ]
        },
        {
          # one that somebody deleted in the middle of a destroy is made anew: half an instance is left
          Sid      = "OwnScheduleAgain"
          Effect   = "Allow"
          Action   = ["scheduler:CreateSchedule"]
          Resource = ["${local.arn.scheduler}:schedule/${aws_scheduler_schedule_group.this.name}/${local.instance}"]
        },
        {
          # who sets a schedule passes it its role
          Sid       = "RoleOfSchedules"
          Effect    = "Allow"
          Action    = ["iam:PassRole"]
          Resource  = [aws_iam_role.scheduler.arn]
          Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
        },
        {
          Sid      = "OwnFolder"
          Effect   = "Allow"
          Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
          Resource = ["${local.bucket_arn}/instances/${local.instance}/*"]
        },
        {
          Sid      = "Bucket"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = [local.bucket_arn]
        },
      ],
      [
        for table in var.lock_table[*] : {
          # the lock on the state, and the digest of what Terraform wrote last
          Sid       = "OwnLock"
          Effect    = "Allow"
          Action    = local.lock_actions
          Resource  = ["${local.arn.dynamodb}:table/${table}"]
          Condition = { "ForAllValues:StringEquals" = { "dynamodb:LeadingKeys" = [for end in ["", "-md5"] : "${var.bucket}/instances/${local.instance}/terraform.tfstate${end}"] } }
        }
      ],
    )
  })
}
