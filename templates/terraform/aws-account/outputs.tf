# state

output "bucket" {
  description = "Name of the state bucket."
  value       = module.state.bucket
}

output "lock_table" {
  description = "Table for locks; null where a file in the bucket is the lock."
  value       = module.state.lock_table
}

# switch

output "schedule_group" {
  description = "The group in which schedules of instances are made."
  value       = module.switch.schedule_group
}

output "scheduler_role_arn" {
  description = "The role that a schedule takes on when it fires."
  value       = module.switch.scheduler_role_arn
}

output "dead_letter_queue_arn" {
  description = "Where a fire ends up that could not start the destroyer."
  value       = module.switch.dead_letter_queue_arn
}

output "project_name" {
  description = "CodeBuild project that runs the destroyer."
  value       = module.switch.project_name
}

output "project_arn" {
  description = "ARN of that project."
  value       = module.switch.project_arn
}

output "destroyer_role_arn" {
  description = "The role with which the destroyer deletes."
  value       = module.switch.destroyer_role_arn
}

output "topic_arn" {
  description = "The topic of warnings and alarms."
  value       = module.switch.topic_arn
}
