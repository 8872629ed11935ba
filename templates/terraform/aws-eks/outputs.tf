# as the home lab has them

output "cluster_name" {
  description = "Name of the cluster."
  value       = module.cluster.cluster_name
}

output "cluster_endpoint" {
  description = "URL of the API server."
  value       = module.cluster.cluster_endpoint
}

output "kubernetes_version" {
  description = "Minor version of Kubernetes."
  value       = module.cluster.kubernetes_version
}

output "nodes" {
  description = "Role and size of each group of nodes, by name."
  value       = module.cluster.nodes
}

output "network_id" {
  description = "The network of the nodes."
  value       = module.cluster.network_id
}

# what only AWS has

output "region" {
  description = "Region of everything."
  value       = var.region
}

output "certificate_authority" {
  description = "The cluster's certificate authority, PEM in base64."
  value       = module.cluster.certificate_authority
}

output "addons" {
  description = "Version of each add-on."
  value       = module.cluster.addons
}

output "pod_roles" {
  description = "Role of each service account that GitOps brings, by `namespace/name`."
  value       = module.cluster.pod_roles
}

output "karpenter" {
  description = "What Karpenter's settings and node classes name; null without Karpenter."
  value       = module.cluster.karpenter
}

output "repositories" {
  description = "URL of each repository for images."
  value       = module.images.repositories
}

output "database" {
  description = "Address of the database and its secret; null without one."
  value = one([
    for database in module.database : {
      address    = database.address
      port       = database.port
      name       = database.database_name
      secret_arn = database.secret_arn
    }
  ])
}
