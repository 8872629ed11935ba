distribution = "debian-12"
ssh_username = "debian"

# Debian's account and naming (Debian wiki, "Cloud/AmazonEC2Image/Bookworm")
ami_owner       = "136693071363"
ami_name_filter = "debian-12-amd64-*"
