#!/bin/sh
# The next boot is a machine's first: nothing of the build may survive it. Runs last.
set -eu

apt() { # first boots run apt of their own: wait for its locks; apt itself waits for dpkg's alone
  tries=1
  case $1 in update | clean) tries=60 ;; esac
  until apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$@"; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then return 1; fi
    sleep 10
  done
}

# what cloud-init wrote for the machine that built
cloud-init clean --logs --seed
rm -rf /var/lib/cloud/*
rm -f /etc/netplan/50-cloud-init.yaml /etc/network/interfaces.d/50-cloud-init
rm -f /etc/ssh/sshd_config.d/50-cloud-init.conf

# identity; stopped now, it writes no seed at the shutdown
systemctl stop systemd-random-seed.service
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
truncate -s 0 /etc/machine-id
rm -f /var/lib/dhcp/* /var/lib/systemd/timesync/clock
for home in /root /home/*; do
  rm -rf "$home/.ssh" "$home/.bash_history" "$home/.cache"
done

# traces; the journal of the last minute stays in memory
journalctl --relinquish-var
rm -rf /var/tmp/zave-image /var/log/journal/* /var/log/audit/* /var/log/apt/* /var/log/unattended-upgrades/*
find /var/log -type f -exec truncate -s 0 {} +
apt clean
rm -rf /var/lib/apt/lists/*
sync
# so that the image on the host shrinks to what is in use
fstrim --all || true
