# The most that any role of the switch can ever do, whatever a policy says: look, delete, and start the
# destroyer. Nothing in it makes anything that costs money: a schedule alone, which starts the destroyer again.
resource "aws_iam_policy" "boundary" {
  name        = "zave-boundary-${local.here}"
  path        = local.iam_path
  description = "The most that zave's switch and destroyer may do in ${local.region}"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Look"
        Effect   = "Allow"
        Action   = local.looking
        Resource = "*"
      },
      {
        Sid      = "Delete"
        Effect   = "Allow"
        Action   = concat(local.deleting, local.deleting_cluster_parts)
        Resource = "*"
      },
      {
        # the destroyer's own schedule must go on firing, whatever somebody made of it meanwhile
        Sid      = "KeepFiring"
        Effect   = "Allow"
        Action   = ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"]
        Resource = "${local.arn.scheduler}:schedule/${aws_scheduler_schedule_group.this.name}/*"
      },
      {
        Sid       = "RoleOfSchedules"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = "${local.iam_arn}:role${local.iam_path}zave-scheduler-${local.here}"
        Condition = { StringEquals = { "iam:PassedToService" = "scheduler.amazonaws.com" } }
      },
      {
        Sid      = "DeleteIdentitiesOfInstances"
        Effect   = "Allow"
        Action   = local.deleting_identities
        Resource = [for kind in local.identities : "${local.iam_arn}:${kind}/zave/*"]
      },
      {
        # the switch must not be able to take itself apart
        Sid      = "NotTheSwitchItself"
        Effect   = "Deny"
        Action   = local.deleting_identities
        Resource = [for kind in local.identities : "${local.iam_arn}:${kind}${local.iam_path}*"]
      },
      {
        Sid      = "Run"
        Effect   = "Allow"
        Action   = ["codebuild:StartBuild", "logs:CreateLogStream", "logs:PutLogEvents", "sqs:SendMessage"]
        Resource = "*"
      },
      {
        # the schedules that announce an end
        Sid      = "Warn"
        Effect   = "Allow"
        Action   = "sns:Publish"
        Resource = aws_sns_topic.alarms.arn
      },
      {
        Sid      = "State"
        Effect   = "Allow"
        Action   = concat(local.lock_actions, ["s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"])
        Resource = concat([local.bucket_arn, "${local.bucket_arn}/*"], [for table in var.lock_table[*] : "${local.arn.dynamodb}:table/${table}"])
      },
      {
        Sid      = "BecomeTheDestroyer"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole", "sts:TagSession"]
        Resource = "${local.iam_arn}:role${local.iam_path}${var.destroyer_role}"
      },
    ]
  })

  tags = { Name = "zave-boundary-${local.account}" }
}
