output "address" {
  description = "Host name of the database."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "Port of the database."
  value       = aws_db_instance.this.port
}

output "database_name" {
  description = "The first database."
  value       = aws_db_instance.this.db_name
}

output "secret_arn" {
  description = "The secret in Secrets Manager with user and password."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}
