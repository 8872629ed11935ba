data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  region    = data.aws_region.current.region
  partition = data.aws_partition.current.partition

  # names of IAM and Budgets hold for the account, the others for a region
  here = "${local.region}-${local.account}"
  # no instance can be called standing: zave keeps the word for itself
  iam_path = "/zave/standing/"
}

# Instances' schedules live here. zave itself makes them, one an instance: they must neither come nor go
# with any state of Terraform's.
resource "aws_scheduler_schedule_group" "this" {
  name = "zave-switch-${local.account}"

  tags = { Name = "zave-switch-${local.account}" }
}

# what a schedule may do when it fires

resource "aws_iam_role" "scheduler" {
  name                 = "zave-scheduler-${local.here}"
  path                 = local.iam_path
  permissions_boundary = aws_iam_policy.boundary.arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  tags = { Name = "zave-scheduler-${local.account}" }
}

resource "aws_iam_role_policy" "scheduler" {
  name = "fire"
  role = aws_iam_role.scheduler.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StartTheDestroyer"
        Effect   = "Allow"
        Action   = "codebuild:StartBuild"
        Resource = aws_codebuild_project.destroyer.arn
      },
      {
        # the mails that announce an end
        Sid      = "Warn"
        Effect   = "Allow"
        Action   = "sns:Publish"
        Resource = aws_sns_topic.alarms.arn
      },
      {
        Sid      = "KeepWhatCouldNotBeDelivered"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = aws_sqs_queue.undelivered.arn
      },
    ]
  })
}

resource "aws_sqs_queue" "undelivered" {
  name = "zave-undelivered-${local.account}"
  # the longest that SQS keeps a message: two weeks to see that a switch could not fire
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true

  tags = { Name = "zave-undelivered-${local.account}" }
}
