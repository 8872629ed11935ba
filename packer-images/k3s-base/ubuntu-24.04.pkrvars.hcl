distribution = "ubuntu-24.04"
ssh_username = "ubuntu"

# Canonical's account and naming (Ubuntu documentation, "Find Ubuntu images on AWS"); device (what EC2 says of
# Canonical's AMIs, as moto 5.2.5 has it in its amis.json; read 2026-11-30)
ami_owner        = "099720109477"
ami_name_filter  = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
ami_ssh_username = "ubuntu"
root_device      = "/dev/sda1"
