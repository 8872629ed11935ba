locals {
  flow_logs = var.flow_logs ? 1 : 0
}

resource "aws_cloudwatch_log_group" "flow" {
  count = local.flow_logs

  #checkov:skip=CKV_AWS_158:CloudWatch's own key serves logs that live for days
  #checkov:skip=CKV_AWS_338:a demo that lives for days needs no logs of a year
  name              = "/zave/${var.instance}/flow"
  retention_in_days = var.flow_logs_retention_days

  tags = { Name = "${local.prefix}-flow-logs" }
}

resource "aws_iam_role" "flow" {
  count = local.flow_logs

  name = "${local.prefix}-flow"
  path = "/zave/${var.instance}/"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "vpc-flow-logs.amazonaws.com" }
    }]
  })

  tags = { Name = "${local.prefix}-flow" }
}

resource "aws_iam_role_policy" "flow" {
  count = local.flow_logs

  name = "write"
  role = aws_iam_role.flow[0].name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.flow[0].arn}:*"
    }]
  })
}

resource "aws_flow_log" "this" {
  count = local.flow_logs

  vpc_id               = aws_vpc.this.id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.flow[0].arn
  iam_role_arn         = aws_iam_role.flow[0].arn

  tags = { Name = "${local.prefix}-flow-log" }
}
