# identity

variable "instance" {
  description = "The instance that zave runs; everything is named `zave-<instance>-...` after it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$", var.instance))
    error_message = "The instance must be 1 to 32 lower-case letters, digits and hyphens, must begin with a letter and must not end in a hyphen."
  }
}

# network

variable "vpc_id" {
  description = "The VPC of the database."
  type        = string
  nullable    = false
}

variable "subnet_ids" {
  description = "Private subnets in two zones: RDS asks for two even where the database runs in one."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "RDS needs subnets in at least two zones."
  }
}

variable "client_security_groups" {
  description = "Security groups whose members may connect, by a name for each."
  type        = map(string)

  validation {
    condition     = length(var.client_security_groups) > 0
    error_message = "A database that nobody may connect to is of no use."
  }
}

# size

variable "instance_class" {
  description = "Class of the machine, such as db.t4g.micro."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "The class must look like db.t4g.micro."
  }
}

variable "storage_gb" {
  description = "Size of the gp3 volume in GB."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gb >= 20 && var.storage_gb <= 16384 && floor(var.storage_gb) == var.storage_gb
    error_message = "A gp3 volume of RDS has 20 to 16384 whole GB."
  }
}

# engine

variable "engine_version" {
  description = "Release of PostgreSQL; null takes the one that RDS gives by default."
  type        = string
  default     = null
}

variable "database_name" {
  description = "The first database."
  type        = string
  default     = "platform"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name))
    error_message = "The name must be lower-case letters, digits and underscores and must begin with a letter."
  }
}

variable "backup_days" {
  description = "Days for which automated backups are kept while the database lives; 0 turns them off."
  type        = number
  default     = 1

  validation {
    condition     = var.backup_days >= 0 && var.backup_days <= 35 && floor(var.backup_days) == var.backup_days
    error_message = "RDS keeps backups for 0 to 35 days."
  }
}
