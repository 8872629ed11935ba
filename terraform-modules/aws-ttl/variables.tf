# where the destroyer finds what it needs

variable "bucket" {
  description = "Name of the state bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "lock_table" {
  description = "Name of the DynamoDB table for locks of Terraform's state; null where there is none."
  type        = string
  default     = null
}

# the destroyer

variable "destroyer_role" {
  description = "Name of the role with which the destroyer deletes. Clusters let it in by this name."
  type        = string

  validation {
    condition     = can(regex("^zave-[a-zA-Z0-9_-]{1,59}$", var.destroyer_role))
    error_message = "The name must begin with zave- and have at most 64 letters, digits, hyphens and underscores."
  }
}

variable "build_image" {
  description = "CodeBuild's image. What the destroyer runs is packed for this one: glibc 2.35, Python 3.11 to 3.14."
  type        = string
  default     = "aws/codebuild/standard:7.0"

  validation {
    condition     = length(var.build_image) > 0
    error_message = "The image must have a name."
  }
}

variable "build_minutes" {
  description = "Minutes after which CodeBuild ends a run of the destroyer; the next one goes on."
  type        = number
  default     = 120

  validation {
    condition     = var.build_minutes >= 5 && var.build_minutes <= 2160 && floor(var.build_minutes) == var.build_minutes
    error_message = "CodeBuild takes 5 to 2160 whole minutes."
  }
}

# who hears of it

variable "email" {
  description = "Address for warnings and alarms. AWS asks it to confirm, and is silent until it has."
  type        = string

  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+$", var.email))
    error_message = "That is not an e-mail address."
  }
}

variable "budget" {
  description = "USD a month for the whole account, and the percents of it at which AWS writes. A backstop: AWS adds up every 8 to 12 hours."
  type = object({
    usd    = number
    alerts = list(number)
  })

  validation {
    condition     = var.budget.usd > 0
    error_message = "The sum must be more than nothing."
  }

  validation {
    condition     = length(var.budget.alerts) >= 1 && length(var.budget.alerts) <= 10
    error_message = "AWS takes 1 to 10 alerts."
  }
}
