locals {
  nat_gateways = var.nat == "single" ? 1 : 0
}

resource "aws_eip" "nat" {
  count = local.nat_gateways

  domain = "vpc"

  tags = { Name = "${local.prefix}-nat" }

  # an address can be mapped, and later unmapped, only while the VPC has its gateway
  depends_on = [aws_internet_gateway.this]
}

resource "aws_nat_gateway" "single" {
  count = local.nat_gateways

  allocation_id = aws_eip.nat[0].id
  # in the nodes' first zone, so that what they fetch does not cross zones as well
  subnet_id = aws_subnet.public["1"].id

  tags = { Name = "${local.prefix}-gateway" }

  depends_on = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  count = local.nat_gateways

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.single[0].id
}
