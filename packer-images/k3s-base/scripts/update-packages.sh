#!/bin/sh
# Brings every installed package up to date and removes what is no longer needed. May be run again, and alone:
# as root, by hand, from Packer or from cloud-init.
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a

apt() { # first boots run apt of their own: wait for its lock
  apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"
}

apt update
touch /run/zave-apt-lists
apt full-upgrade
apt autoremove --purge
apt clean
