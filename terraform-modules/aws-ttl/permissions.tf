# What the destroyer may delete. Its session carries a tag `instance`; a thing must say that it is that
# instance's, by its own tag where AWS looks at tags, else by its name.

locals {
  bucket_arn   = "arn:${local.partition}:s3:::${var.bucket}"
  instance     = "$${aws:PrincipalTag/instance}"
  arn          = { for service in ["dynamodb", "kms", "logs", "scheduler"] : service => "arn:${local.partition}:${service}:${local.region}:${local.account}" }
  iam_arn      = "arn:${local.partition}:iam::${local.account}"
  by_tag       = { StringEquals = { "aws:ResourceTag/zave:instance" = local.instance } }
  lock_actions = ["dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem"]

  # calls that describe: most take no resource and no condition. All that the sweep lists, or a list that is
  # not allowed would make the whole inventory fail
  looking = [
    "autoscaling:DescribeAutoScalingGroups",
    "budgets:ViewBudget",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:ListTagsForResource",
    "codebuild:BatchGetBuilds",
    "codebuild:BatchGetProjects",
    "codebuild:ListBuildsForProject",
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
    "sqs:GetQueueUrl",
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
    "ec2:DetachNetworkInterface",
    "ec2:DetachVolume",
    "ec2:DisassociateAddress",
    "ec2:DisassociateRouteTable",
    "ec2:ModifyVpcEndpoint",
    "ec2:ReleaseAddress",
    "ec2:RevokeSecurityGroupEgress",
    "ec2:RevokeSecurityGroupIngress",
    "ec2:TerminateInstances",
    "ecr:BatchDeleteImage",
    "ecr:DeleteLifecyclePolicy",
    "ecr:DeleteRepository",
    "eks:DeleteAccessEntry",
    "eks:DeleteAddon",
    "eks:DeleteCluster",
    "eks:DeleteNodegroup",
    "eks:DeletePodIdentityAssociation",
    "eks:DisassociateAccessPolicy",
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

  deleting_balancers = [for action in local.deleting : action if startswith(action, "elasticloadbalancing:")]

  deleting_identities = [
    "iam:DeleteInstanceProfile",
    "iam:DeleteRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:RemoveRoleFromInstanceProfile",
  ]
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
    Statement = [
      {
        Sid       = "Own"
        Effect    = "Allow"
        Action    = local.deleting
        Resource  = "*"
        Condition = local.by_tag
      },
      {
        # the cluster's controller made these, and put its own tag on them
        Sid       = "LoadBalancersOfTheCluster"
        Effect    = "Allow"
        Action    = local.deleting_balancers
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = "zave-${local.instance}" } }
      },
      {
        Sid       = "GroupsOfTheCluster"
        Effect    = "Allow"
        Action    = ["ec2:DeleteSecurityGroup", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:ResourceTag/elbv2.k8s.aws/cluster" = "zave-${local.instance}" } }
      },
    ]
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
          Resource = ["${local.iam_arn}:instance-profile/zave/${local.instance}/*", "${local.iam_arn}:role/zave/${local.instance}/*"]
        },
        {
          # what EKS writes again after the cluster is gone has no tag
          Sid      = "Logs"
          Effect   = "Allow"
          Action   = ["logs:DeleteLogGroup"]
          Resource = ["${local.arn.logs}:log-group:/aws/eks/zave-${local.instance}/*"]
        },
        {
          # an alias cannot have a tag; its key must have one
          Sid      = "Aliases"
          Effect   = "Allow"
          Action   = ["kms:DeleteAlias"]
          Resource = ["${local.arn.kms}:alias/zave-${local.instance}-secrets"]
        },
        {
          # removed at the end; until then it goes on firing, whatever somebody made of it meanwhile. Who sets
          # a schedule passes it its role
          Sid    = "OwnSchedule"
          Effect = "Allow"
          Action = ["iam:PassRole", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"]
          Resource = [
            "${local.arn.scheduler}:schedule/${aws_scheduler_schedule_group.this.name}/${local.instance}",
            aws_iam_role.scheduler.arn,
          ]
          Condition = { StringEqualsIfExists = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
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
          Action   = ["s3:GetBucketVersioning", "s3:ListBucket"]
          Resource = [local.bucket_arn]
        },
        {
          Sid      = "Tell"
          Effect   = "Allow"
          Action   = ["sns:Publish"]
          Resource = [aws_sns_topic.alarms.arn]
        },
      ],
      [
        for table in var.lock_table[*] : {
          Sid      = "Lock"
          Effect   = "Allow"
          Action   = local.lock_actions
          Resource = ["${local.arn.dynamodb}:table/${table}"]
        }
      ],
    )
  })
}
