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
  # A fire sets ZAVE_INSTANCE, ZAVE_BUNDLE (key in the bucket), ZAVE_BUNDLE_SHA256 and ZAVE_MODE. All that
  # runs comes from the bundle, `programs/` in it: at three in the morning a registry may be down.
  buildspec = yamlencode({
    version = 0.2
    phases = {
      pre_build = {
        "on-failure" = "ABORT"
        commands = [
          "aws s3 cp \"s3://$ZAVE_BUCKET/$ZAVE_BUNDLE\" bundle.tar.gz",
          "echo \"$ZAVE_BUNDLE_SHA256  bundle.tar.gz\" | sha256sum --check --strict",
          "mkdir bundle && tar --extract --gzip --no-same-owner --file bundle.tar.gz --directory bundle",
        ]
      }
      build = {
        commands = ["bundle/programs/zave reap --from-bundle bundle --mode \"$ZAVE_MODE\""]
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
        Sid      = "FetchBundles"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${local.bucket_arn}/instances/*"
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
