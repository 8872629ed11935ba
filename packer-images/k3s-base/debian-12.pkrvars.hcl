distribution = "debian-12"
ssh_username = "debian"

# Debian's account and naming (Debian wiki, "Cloud/AmazonEC2Image/Bookworm"); device and user (Debian's
# debian-cloud-images: upload_ec2.py, and 01_debian_cloud.cfg for EC2; read 2026-11-30)
ami_owner        = "136693071363"
ami_name_filter  = "debian-12-amd64-*"
ami_ssh_username = "admin"
root_device      = "/dev/xvda"
