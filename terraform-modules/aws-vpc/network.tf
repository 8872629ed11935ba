locals {
  prefix = "zave-${var.instance}"
}

resource "aws_vpc" "this" {
  cidr_block = var.cidr

  # nodes find the cluster's private endpoint by a name that only the VPC's resolver knows
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = "${local.prefix}-vpc" }
}

# The group that a thing gets when it names none: it lets nothing in and nothing out.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${local.prefix}-default" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${local.prefix}-internet" }
}
