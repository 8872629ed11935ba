# image

variable "distribution" {
  type        = string
  description = "Name of the image's operating system, as in the name of the variable file."

  validation {
    # Packer 1.6 has no regex functions
    condition     = length(split("-", var.distribution)) == 2
    error_message = "The distribution must look like ubuntu-24.04."
  }
}

variable "fingerprint" {
  type        = string
  default     = "unknown"
  description = "What zave computed over everything that goes into the image; kept in it and in its tags."
}

variable "build_token" {
  type        = string
  default     = "unknown"
  description = "Random, made by zave for this build alone: a failed build removes what carries it, and nothing else."
}

variable "scripts_digest" {
  type        = string
  default     = "unknown"
  description = "SHA-256 of the scripts, computed by zave; kept in the image."
}

variable "manifest_directory" {
  type        = string
  default     = "manifest"
  description = "Folder that exists; what was measured in the image arrives there."
}

# qemu

variable "source_image" {
  type        = string
  default     = ""
  description = "Path of the vendor's cloud image in qcow2 format."
}

variable "source_checksum" {
  type        = string
  default     = ""
  description = "Literal checksum of the source image, such as sha256:<64 hexadecimal digits>."
}

variable "accelerator" {
  type        = string
  default     = "kvm"
  description = "`kvm`, or `tcg` where /dev/kvm does not work."

  validation {
    condition     = contains(["kvm", "tcg"], var.accelerator)
    error_message = "The accelerator must be kvm or tcg."
  }
}

variable "cpus" {
  type        = number
  default     = 2
  description = "Processors of the machine that builds."
}

variable "memory" {
  type        = number
  default     = 2048
  description = "Memory of the machine that builds, in MiB."
}

variable "disk_size" {
  type        = string
  default     = "50G"
  description = "Size of the disk as a node sees it; the file takes what is written. A node's disk may not be smaller."
}

variable "output_directory" {
  type        = string
  default     = "output"
  description = "Folder of the built image; it must not exist."
}

# amazon-ebs

variable "region" {
  type        = string
  default     = "us-east-1"
  description = "Region of the AMI."
}

variable "ami_owner" {
  type        = string
  description = "Account of the vendor that publishes the source AMI."
}

variable "ami_name_filter" {
  type        = string
  description = "Name of the source AMI, with wildcards; the newest match is taken."
}

variable "root_device" {
  type        = string
  description = "What the source AMI calls its root device; the volume that is encrypted is told by this name."
}

variable "root_size" {
  type        = number
  default     = 16
  description = "Size of the AMI's root volume in GiB: at least the source AMI's."
}

# access

variable "ssh_username" {
  type        = string
  description = "The user that the vendor's cloud image makes."
}

variable "ami_ssh_username" {
  type        = string
  description = "The user that the vendor's AMI makes, which need not be the cloud image's."
}

variable "ssh_private_key_file" {
  type        = string
  default     = ""
  description = "With qemu: the private half of a key made for this build and thrown away after it."
}

variable "seed_folder" {
  type        = string
  default     = ""
  description = "With qemu: folder with user-data and meta-data that let the key's public half in."
}
