resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_157:one zone: a demo is not worth a standby that doubles its price
  #checkov:skip=CKV_AWS_293:deletion protection would keep a demo alive past its end
  #checkov:skip=CKV_AWS_118:enhanced monitoring writes a log group that outlives the database
  #checkov:skip=CKV_AWS_129:exported logs make log groups that outlive the database
  #checkov:skip=CKV2_AWS_30:query logs would go to a log group that outlives the database
  #checkov:skip=CKV_AWS_353:Performance Insights has nothing to compare in a demo
  identifier = "${local.prefix}-database"

  # engine
  engine                     = "postgres"
  engine_version             = var.engine_version
  db_name                    = var.database_name
  port                       = local.port
  auto_minor_version_upgrade = true

  # size
  instance_class    = var.instance_class
  allocated_storage = var.storage_gb
  storage_type      = "gp3"
  storage_encrypted = true
  multi_az          = false

  # who gets in: RDS makes the password, keeps it in Secrets Manager and deletes it with the database
  username                            = "platform"
  manage_master_user_password         = true
  iam_database_authentication_enabled = true

  # network
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false

  # the end: nothing that costs money may stay behind
  backup_retention_period  = var.backup_days
  delete_automated_backups = true
  skip_final_snapshot      = true
  deletion_protection      = false
  copy_tags_to_snapshot    = true
  apply_immediately        = true

  tags = { Name = "${local.prefix}-database" }
}
