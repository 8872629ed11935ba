locals {
  # by position in `zones`, in the range and in names: public ones first
  public = {
    for index, zone in var.zones : tostring(index + 1) => { zone = zone, cidr = cidrsubnet(var.cidr, 2, index) }
  }
  private = {
    for index, zone in var.zones : tostring(index + 1) => { zone = zone, cidr = cidrsubnet(var.cidr, 2, index + 2) }
  }

  nodes_in_public = var.nat == "none"
  node_positions  = [for index in range(var.node_zones) : tostring(index + 1)]
  discovery       = { "karpenter.sh/discovery" = var.cluster_name }
}

resource "aws_subnet" "public" {
  for_each = local.public

  vpc_id            = aws_vpc.this.id
  availability_zone = each.value.zone
  cidr_block        = each.value.cidr

  #checkov:skip=CKV_AWS_130:without NAT a public address is a node's only way out, and its security group is closed
  map_public_ip_on_launch = local.nodes_in_public

  tags = merge(
    {
      Name                     = "${local.prefix}-public-${each.key}"
      "kubernetes.io/role/elb" = "1"
    },
    local.nodes_in_public && contains(local.node_positions, each.key) ? local.discovery : {},
  )

  lifecycle {
    # a zone that AWS opens or closes to new things must not move a network that stands
    ignore_changes = [availability_zone]
  }
}

resource "aws_subnet" "private" {
  for_each = local.private

  vpc_id            = aws_vpc.this.id
  availability_zone = each.value.zone
  cidr_block        = each.value.cidr

  tags = merge(
    {
      Name                              = "${local.prefix}-private-${each.key}"
      "kubernetes.io/role/internal-elb" = "1"
    },
    !local.nodes_in_public && contains(local.node_positions, each.key) ? local.discovery : {},
  )

  lifecycle {
    # as above
    ignore_changes = [availability_zone]
  }
}
