# what zave needs to make a schedule and to start the destroyer by hand

output "schedule_group" {
  description = "The group in which schedules of instances are made."
  value       = aws_scheduler_schedule_group.this.name
}

output "scheduler_role_arn" {
  description = "The role that a schedule takes on when it fires."
  value       = aws_iam_role.scheduler.arn

  depends_on = [aws_iam_role_policy.scheduler]
}

output "dead_letter_queue_arn" {
  description = "Where a fire ends up that could not start the destroyer."
  value       = aws_sqs_queue.undelivered.arn
}

output "project_name" {
  description = "CodeBuild project that runs the destroyer."
  value       = aws_codebuild_project.destroyer.name

  depends_on = [
    aws_iam_role_policy.delete_by_name,
    aws_iam_role_policy.delete_by_tag,
    aws_iam_role_policy.look,
    aws_iam_role_policy.project,
  ]
}

output "project_arn" {
  description = "ARN of that project: what a schedule aims at."
  value       = aws_codebuild_project.destroyer.arn
}

output "destroyer_role_arn" {
  description = "The role with which the destroyer deletes."
  value       = aws_iam_role.destroyer.arn
}

output "topic_arn" {
  description = "The topic of warnings and alarms."
  value       = aws_sns_topic.alarms.arn
}
