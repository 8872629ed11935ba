#!/bin/sh
# Brings every installed package up to date and removes what is no longer needed. May be run again, and alone:
# as root, by hand, from Packer or from cloud-init.
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

apt update
touch /run/zave-apt-lists
apt full-upgrade
apt autoremove --purge
apt clean
