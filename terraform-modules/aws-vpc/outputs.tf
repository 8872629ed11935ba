output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The private range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "public_subnet_ids" {
  description = "Subnets with a route to the internet gateway, one a zone: load balancers."
  value       = [for position in sort(keys(local.public)) : aws_subnet.public[position].id]
}

output "private_subnet_ids" {
  description = "Subnets that the internet cannot reach, one a zone: the control plane's interfaces, databases."
  value       = [for position in sort(keys(local.private)) : aws_subnet.private[position].id]
}

output "node_subnet_ids" {
  description = "Where nodes run. Known once they have their way out to the internet."
  value = [
    for position in local.node_positions :
    local.nodes_in_public ? aws_subnet.public[position].id : aws_subnet.private[position].id
  ]

  # a node that boots before its routes are there joins no cluster
  depends_on = [
    aws_route.internet,
    aws_route.nat,
    aws_route_table_association.public,
    aws_route_table_association.private,
  ]
}
