# What AWS announces about machines, so that Karpenter can move the pods away first.

locals {
  # names of one word: `a` + `b-c` and `a-b` + `c` must not be one rule
  announcements = {
    health    = { source = "aws.health", type = "AWS Health Event" }
    rebalance = { source = "aws.ec2", type = "EC2 Instance Rebalance Recommendation" }
    spot      = { source = "aws.ec2", type = "EC2 Spot Instance Interruption Warning" }
    state     = { source = "aws.ec2", type = "EC2 Instance State-change Notification" }
  }
}

resource "aws_sqs_queue" "interruptions" {
  count = local.karpenter

  name = "${local.prefix}-interruptions"
  # a machine gets two minutes of warning: an older message is of no use
  message_retention_seconds = 300
  sqs_managed_sse_enabled   = true

  tags = { Name = "${local.prefix}-interruptions" }
}

resource "aws_sqs_queue_policy" "interruptions" {
  count = local.karpenter

  queue_url = aws_sqs_queue.interruptions[0].url

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Announcements"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.interruptions[0].arn
        Condition = { ArnEquals = { "aws:SourceArn" = [for rule in aws_cloudwatch_event_rule.announcement : rule.arn] } }
      },
      {
        Sid       = "EncryptedConnectionsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.interruptions[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_cloudwatch_event_rule" "announcement" {
  for_each = var.karpenter ? local.announcements : {}

  name        = "${local.prefix}-${each.key}"
  description = "${each.value.type}, for Karpenter in ${local.prefix}"

  event_pattern = jsonencode({
    source      = [each.value.source]
    detail-type = [each.value.type]
  })

  tags = { Name = "${local.prefix}-${each.key}" }
}

resource "aws_cloudwatch_event_target" "announcement" {
  for_each = aws_cloudwatch_event_rule.announcement

  rule      = each.value.name
  target_id = "queue"
  arn       = aws_sqs_queue.interruptions[0].arn
}
