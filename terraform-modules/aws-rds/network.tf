locals {
  prefix = "zave-${var.instance}"
  port   = 5432
}

resource "aws_db_subnet_group" "this" {
  name        = "${local.prefix}-database"
  description = "Private subnets of ${local.prefix}"
  subnet_ids  = var.subnet_ids

  tags = { Name = "${local.prefix}-database-subnets" }
}

resource "aws_security_group" "database" {
  name        = "${local.prefix}-database"
  description = "PostgreSQL of ${local.prefix}: the cluster's nodes and nobody else"
  vpc_id      = var.vpc_id

  tags = { Name = "${local.prefix}-database-group" }
}

resource "aws_vpc_security_group_ingress_rule" "client" {
  for_each = var.client_security_groups

  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port

  tags = { Name = "${local.prefix}-database-from-${each.key}" }
}
