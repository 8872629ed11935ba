resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch and Budgets cannot publish under AWS's key, and one's own costs a dollar a month
  name = "zave-alarms-${local.account}"

  tags = { Name = "zave-alarms-${local.account}" }
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "${local.iam_arn}:root" }
        Action    = ["sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:Publish", "sns:SetTopicAttributes", "sns:Subscribe"]
        Resource  = aws_sns_topic.alarms.arn
      },
      {
        Sid       = "Services"
        Effect    = "Allow"
        Principal = { Service = ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_cloudwatch_metric_alarm" "failing" {
  alarm_name        = "zave-failing-${local.account}"
  alarm_description = "Three runs of zave's destroyer failed within eight hours: a demo is past its end and still costs money. `zave reap` takes it down from anywhere."

  namespace   = "AWS/CodeBuild"
  metric_name = "FailedBuilds"
  dimensions  = { ProjectName = aws_codebuild_project.destroyer.name }

  # A schedule fires every half hour, but a run may take up to two: fires that find it at work end well, and a
  # failure counts in the half hour in which it comes. So three of sixteen, however far apart they are.
  statistic           = "Sum"
  period              = 1800
  evaluation_periods  = 16
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"

  alarm_actions = [aws_sns_topic.alarms.arn]
  ok_actions    = [aws_sns_topic.alarms.arn]

  tags = { Name = "zave-failing-${local.account}" }
}

resource "aws_cloudwatch_metric_alarm" "undelivered" {
  alarm_name        = "zave-undelivered-${local.account}"
  alarm_description = "A schedule of zave's fired and could not start the destroyer: `zave account status` says what is missing."

  namespace   = "AWS/SQS"
  metric_name = "ApproximateNumberOfMessagesVisible"
  dimensions  = { QueueName = aws_sqs_queue.undelivered.name }

  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"

  alarm_actions = [aws_sns_topic.alarms.arn]

  tags = { Name = "zave-undelivered-alarm-${local.account}" }
}
