# Named as the home lab names its own: what builds on a cluster must not ask where it runs.

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "cluster_endpoint" {
  description = "URL of the API server."
  value       = aws_eks_cluster.this.endpoint
}

output "kubernetes_version" {
  description = "Minor version of Kubernetes."
  value       = aws_eks_cluster.this.version
}

output "nodes" {
  description = "Role and size of the node group, by name. Its machines come and go: the cluster names them."
  value = {
    (aws_eks_node_group.nodes.node_group_name) = {
      role    = "worker"
      address = null
      minimum = var.nodes.minimum
      maximum = var.nodes.maximum
    }
  }
}

output "network_id" {
  description = "The network of the nodes: the VPC."
  value       = var.vpc_id
}

# what only AWS has

output "certificate_authority" {
  description = "The cluster's certificate authority, PEM in base64."
  value       = one(aws_eks_cluster.this.certificate_authority[*].data)
}

output "security_group_id" {
  description = "The group that EKS made for control plane and nodes."
  value       = one(aws_eks_cluster.this.vpc_config[*].cluster_security_group_id)
}

output "addons" {
  description = "Version of each add-on: what AWS gives as default for this Kubernetes."
  value       = { for name, addon in data.aws_eks_addon_version.this : name => addon.version }
}

output "pod_roles" {
  description = "ARN of the role of each service account that GitOps brings, by `namespace/name`."
  value = {
    for identity in concat(
      [aws_eks_pod_identity_association.balancer],
      aws_eks_pod_identity_association.backups,
      aws_eks_pod_identity_association.dns,
      aws_eks_pod_identity_association.karpenter,
    ) : "${identity.namespace}/${identity.service_account}" => identity.role_arn
  }
}

output "karpenter" {
  description = "What Karpenter's settings and node classes name; null without Karpenter."
  value = var.karpenter ? {
    interruption_queue = aws_sqs_queue.interruptions[0].name
    instance_profile   = aws_iam_instance_profile.provisioned[0].name
    node_tags          = var.tags
  } : null
}
