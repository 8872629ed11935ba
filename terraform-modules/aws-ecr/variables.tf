# identity

variable "instance" {
  description = "The instance that zave runs; repositories are named `zave-<instance>/...` after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.instance))
    error_message = "The instance must be 1 to 32 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

# content

variable "repositories" {
  description = "Names of the repositories, without the instance."
  type        = set(string)

  validation {
    condition     = alltrue([for name in var.repositories : can(regex("^[a-z0-9]+([._-][a-z0-9]+)*$", name)) && length(name) <= 128])
    error_message = "A repository's name has lower-case letters and digits, with single dots, underscores or hyphens between them."
  }
}

variable "untagged_days" {
  description = "Days after which images without a tag are removed."
  type        = number
  default     = 1

  validation {
    condition     = var.untagged_days >= 1 && floor(var.untagged_days) == var.untagged_days
    error_message = "Days must be a whole number, at least 1."
  }
}

variable "kept_images" {
  description = "How many images a repository keeps, the newest ones."
  type        = number
  default     = 10

  validation {
    condition     = var.kept_images >= 1 && floor(var.kept_images) == var.kept_images
    error_message = "The number of images must be whole, at least 1."
  }
}
