output "repositories" {
  description = "URL of each repository, by the name that was asked for."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
