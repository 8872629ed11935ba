variable "bucket" {
  description = "Name of the bucket, unique in the whole world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "lock_table" {
  description = "Name of a DynamoDB table for locks; null: Terraform (1.10 and later) locks by a file in the bucket."
  type        = string
  default     = null

  validation {
    condition     = var.lock_table == null ? true : can(regex("^[a-zA-Z0-9_.-]{3,255}$", var.lock_table))
    error_message = "A table's name has 3 to 255 letters, digits, underscores, dots and hyphens."
  }
}

variable "old_versions_days" {
  description = "Days for which replaced and deleted versions of an object are kept."
  type        = number
  default     = 90

  validation {
    condition     = var.old_versions_days >= 1 && floor(var.old_versions_days) == var.old_versions_days
    error_message = "Days must be a whole number, at least 1."
  }
}

variable "force_destroy" {
  description = "Whether Terraform may delete the bucket with everything in it: set by `zave account remove` alone."
  type        = bool
  default     = false
}
