resource "aws_ecr_repository" "this" {
  for_each = var.repositories

  #checkov:skip=CKV_AWS_136:AES-256 with AWS's key; a key of one's own costs a dollar a month for copies of public images
  # a slash, not a hyphen: `a` + `b-c` and `a-b` + `c` must not be one name
  name                 = "zave-${var.instance}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  # images are copies: they must not stop the end of a demo (RepositoryNotEmptyException)
  force_delete = true

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }

  tags = { Name = "zave-${var.instance}-images-${each.key}" }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "no tag, no use"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = var.untagged_days
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "the newest ones only"
        selection = {
          tagStatus   = "any"
          countType   = "imageCountMoreThan"
          countNumber = var.kept_images
        }
        action = { type = "expire" }
      },
    ]
  })
}
