resource "aws_codebuild_project" "destroyer" {
  name           = "zave-destroyer-${local.account}"
  description    = "Ends demos of zave that are past their time: runs what their bundles in ${var.bucket} say"
  service_role   = aws_iam_role.project.arn
  build_timeout  = var.build_minutes
  queued_timeout = 60

  artifacts {
    type = "NO_ARTIFACTS"
  }

  environment {
    type            = "LINUX_CONTAINER"
    compute_type    = "BUILD_GENERAL1_SMALL"
    image           = var.build_image
    privileged_mode = false

    environment_variable {
      name  = "ZAVE_BUCKET"
      value = var.bucket
    }

    environment_variable {
      name  = "ZAVE_DESTROYER_ROLE"
      value = aws_iam_role.destroyer.arn
    }
  }

  source {
    type      = "NO_SOURCE"
    buildspec = local.buildspec
  }

  logs_config {
    cloudwatch_logs {
      group_name = aws_cloudwatch_log_group.destroyer.name
    }
  }

  tags = { Name = "zave-destroyer-${local.account}" }
}

locals {
  # build.sh is what runs, here as in zave's tests; written out so that the console shows all of it
  buildspec = yamlencode({
    version = 0.2
    phases = {
      build = {
        commands = [
          "cat >build.sh <<'END-OF-SCRIPT'\n${file("${path.module}/build.sh")}END-OF-SCRIPT",
          "sh build.sh",
        ]
      }
    }
  })
}

resource "aws_cloudwatch_log_group" "destroyer" {
  #checkov:skip=CKV_AWS_158:CloudWatch's own key; what the destroyer says holds no secrets
  #checkov:skip=CKV_AWS_338:receipts in the bucket are what is kept
  # CodeBuild writes here unless told otherwise; so it is told, and the group has an end
  name              = "/aws/codebuild/zave-destroyer-${local.account}"
  retention_in_days = 90

  tags = { Name = "zave-destroyer-logs-${local.account}" }
}

resource "aws_iam_role" "project" {
  name                 = "zave-project-${local.here}"
  path                 = local.iam_path
  permissions_boundary = aws_iam_policy.boundary.arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "codebuild.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  tags = { Name = "zave-project-${local.account}" }
}

resource "aws_iam_role_policy" "project" {
  name = "run"
  role = aws_iam_role.project.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.destroyer.arn}:*"
      },
      {
        # what a fire runs, and nothing else: states and receipts are for the destroyer's own role
        Sid      = "FetchWhatRuns"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = ["${local.bucket_arn}/account/programs-*", "${local.bucket_arn}/instances/*/bundle-*"]
      },
      {
        Sid      = "BecomeTheDestroyerOfOneInstance"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole", "sts:TagSession"]
        Resource = aws_iam_role.destroyer.arn
      },
    ]
  })
}
