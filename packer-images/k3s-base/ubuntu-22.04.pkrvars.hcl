distribution = "ubuntu-22.04"
ssh_username = "ubuntu"

# Canonical's account and naming (Ubuntu documentation, "Find Ubuntu images on AWS")
ami_owner       = "099720109477"
ami_name_filter = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"
