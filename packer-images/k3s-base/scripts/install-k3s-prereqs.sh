#!/bin/sh
# Installs what a k3s node needs before k3s itself, which arrives at a node's first boot.
set -eu

export DEBIAN_FRONTEND=noninteractive

apt-get update -q
apt-get -q -y install --no-install-recommends ca-certificates curl qemu-guest-agent
apt-get clean

# what k3s expects with protect-kernel-defaults: true (k3s documentation, "CIS Hardening Guide")
install -D -m 0644 /dev/stdin /etc/sysctl.d/90-k3s.conf <<'EOF'
vm.panic_on_oom=0
vm.overcommit_memory=1
kernel.panic=10
kernel.panic_on_oops=1
EOF

install -D -m 0644 /dev/stdin /etc/modules-load.d/k3s.conf <<'EOF'
br_netfilter
overlay
EOF

# Kubernetes refuses to run with swap
sed -i -E '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# /' /etc/fstab
swapoff -a

install -D -m 0644 /dev/stdin /etc/zave/image <<EOF
k3s-base ${ZAVE_FINGERPRINT:-unknown}
EOF
