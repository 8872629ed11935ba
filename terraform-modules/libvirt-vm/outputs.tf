output "name" {
  description = "Name of the domain, known to be running with a lease once this output is."
  value       = libvirt_domain.this.name
}

output "uuid" {
  description = "UUID of the domain, with which Terraform imports it."
  value       = libvirt_domain.this.uuid
}

output "volumes" {
  description = "Names of the volumes of the domain in its pool."
  value       = [libvirt_volume.disk.name, libvirt_volume.seed.name]
}
