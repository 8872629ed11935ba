#!/bin/sh
# Installs what a k3s node needs before k3s itself, which arrives at a node's first boot. May be run again, and
# alone: as root, by hand, from Packer or from cloud-init.
set -eu
umask 022
# needrestart would end the cloud-init that a first boot runs this in (Ubuntu 22.04)
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

apt() { # first boots run apt of their own: wait for its locks; apt itself waits for dpkg's alone
  tries=1
  case $1 in update | clean) tries=60 ;; esac
  until apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then return 1; fi
    sleep 10
  done
}

refresh() { # lists that are younger than an hour will do
  if [ -z "$(find /run/zave-apt-lists -mmin -60 2>/dev/null)" ]; then apt update; fi
  touch /run/zave-apt-lists
}

put() { # put MODE PATH: writes standard input
  mkdir -p "${2%/*}"
  cat >"$2"
  chmod "$1" "$2"
}

# apparmor: where the kernel has it, containerd wants its parser; nfs-common: volumes on NFS are mounted by the node
refresh
apt install --no-install-recommends apparmor ca-certificates curl kmod nfs-common qemu-guest-agent
apt clean

# what k3s expects with protect-kernel-defaults: true (k3s documentation, "CIS Hardening Guide")
put 0644 /etc/sysctl.d/90-k3s.conf <<'END'
vm.panic_on_oom=0
vm.overcommit_memory=1
kernel.panic=10
kernel.panic_on_oops=1
END

# Pods are routed through the node. Loose: a reply may leave by another interface than the request came in.
# Many pods watch many files: the kernel's limits are for one desktop.
# A dash: no failure before br_netfilter is loaded.
put 0644 /etc/sysctl.d/91-k3s-pods.conf <<'END'
net.ipv4.ip_forward=1
net.ipv4.conf.all.rp_filter=2
net.ipv4.conf.default.rp_filter=2
-net.bridge.bridge-nf-call-iptables=1
-net.bridge.bridge-nf-call-ip6tables=1
fs.inotify.max_user_instances=8192
fs.inotify.max_user_watches=524288
END

put 0644 /etc/modules-load.d/k3s.conf <<'END'
br_netfilter
overlay
END

# comes with nfs-common and would listen to everybody; NFS 4 does without it
systemctl mask --quiet rpcbind.socket rpcbind.service

# Kubernetes refuses to run with swap
sed -i -E '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# /' /etc/fstab

# in a running system, not in a chroot
if [ -d /run/systemd/system ]; then
  swapoff -a
  systemctl stop rpcbind.socket rpcbind.service
  modprobe -a br_netfilter overlay
  sysctl -q --system
fi
