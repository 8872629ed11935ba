# Named as the AWS side names its own: what builds on a cluster must not ask where it runs.

output "cluster_name" {
  description = "Name of the cluster."
  value       = var.cluster_name
}

output "cluster_endpoint" {
  description = "URL of the API server: the first control-plane node's, by name."
  value       = "https://${[for name in sort(keys(var.nodes)) : var.nodes[name].address if var.nodes[name].role == "control-plane"][0]}:6443"
}

output "kubernetes_version" {
  description = "The k3s release or channel of the nodes."
  value       = var.kubernetes_version
}

output "nodes" {
  description = "Role and address of each node, by name."
  value = {
    for name, vm in module.node : trimprefix(vm.name, "zave-") => {
      role    = var.nodes[name].role
      address = var.nodes[name].address
    }
  }
}

output "network_id" {
  description = "The network of the nodes: its UUID in libvirt."
  value       = libvirt_network.cluster.id
}
