# The modules validate; the root only says what comes in.

# account

variable "account" {
  description = "The AWS account, twelve digits. Credentials of another one are refused."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the bucket and the switch."
  type        = string
  nullable    = false
}

variable "tags" {
  description = "Tags of everything: that it stands by design."
  type        = map(string)

  validation {
    condition     = try(var.tags["zave:standing"] == "true" && var.tags["cloud-nuke-excluded"] == "true", false)
    error_message = "The tags zave:standing and cloud-nuke-excluded must be true: without them a cleaner takes the switch away."
  }

  validation {
    condition     = !contains(keys(var.tags), "zave:instance")
    error_message = "Standing parts belong to no instance."
  }
}

# state

variable "bucket" {
  description = "Name of the state bucket."
  type        = string
  nullable    = false
}

variable "lock_table" {
  description = "DynamoDB table for locks; null: a lock file in the bucket."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether the bucket may go with everything in it."
  type        = bool
  default     = false
  nullable    = false
}

# switch

variable "destroyer_role" {
  description = "Name of the role with which the destroyer deletes."
  type        = string
  nullable    = false
}

variable "email" {
  description = "Address for warnings and alarms."
  type        = string
  nullable    = false
}

variable "budget" {
  description = "USD a month and the percents at which AWS writes."
  type = object({
    usd    = number
    alerts = list(number)
  })
  nullable = false
}
