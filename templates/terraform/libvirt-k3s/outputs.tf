output "cluster_name" {
  description = "Name of the cluster."
  value       = module.cluster.cluster_name
}

output "cluster_endpoint" {
  description = "URL of the API server."
  value       = module.cluster.cluster_endpoint
}

output "kubernetes_version" {
  description = "Release or channel of Kubernetes."
  value       = module.cluster.kubernetes_version
}

output "nodes" {
  description = "Role and address of each node, by name."
  value       = module.cluster.nodes
}

output "network_id" {
  description = "The network of the nodes."
  value       = module.cluster.network_id
}
