#!/bin/sh
# Writes what the image has become, measured while it runs: a folder that Packer downloads. The ZAVE_* variables
# say what it was made from. Lynis comes for the measurement and goes with it.
set -eu
umask 022
# needrestart would end the cloud-init that a first boot runs this in (Ubuntu 22.04)
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

folder=/var/tmp/zave-image

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

newest() { # the kernel that the image boots: an update has brought it, and it does not run yet
  for kernel in /boot/vmlinuz-*; do
    if [ -e "$kernel" ]; then echo "${kernel#/boot/vmlinuz-}"; fi
  done | sort -V | tail -n 1
}

word() { # word VALUE: nothing that JSON would have to escape
  printf '%s' "$1" | tr -cd 'A-Za-z0-9:._+-'
}

rm -rf "$folder"
mkdir -p "$folder"
dpkg-query -W -f '${Package} ${Version} ${Architecture}\n' | LC_ALL=C sort >"$folder/packages.txt"

# what a boot would have loaded
sysctl -q --system
refresh
apt install --no-install-recommends lynis
# The certificates of ca-certificates are that package's affair, and Debian's plugin begins by looking at each of
# the system's programs: both take minutes in a machine without KVM.
echo ssl-certificate-paths=/etc/letsencrypt:/etc/pki:/etc/ssl:/usr/local/share/ca-certificates: \
  >/etc/lynis/custom.prf
lynis audit system --quick --quiet --no-colors --no-log --no-plugins \
  --report-file "$folder/lynis-report.dat" >/dev/null
apt purge lynis
rm -rf /etc/lynis /var/log/lynis*
apt autoremove --purge
index=$(sed -n 's/^hardening_index=\([0-9]\{1,3\}\)$/\1/p' "$folder/lynis-report.dat")
echo "Lynis' hardening index is ${index:-missing}; it says:"
sed -n -E 's/^(suggestion|warning)\[\]=([^|]*)\|([^|]*)\|.*/  \2 \3/p' "$folder/lynis-report.dat"
version=$(sed -n 's/^lynis_version=//p' "$folder/lynis-report.dat")

install -D -m 0644 /dev/stdin /etc/zave/image.json <<END
{
  "schema": "zave/built-image/v1",
  "image": "$(word "${ZAVE_IMAGE:-unknown}")",
  "distribution": "$(word "${ZAVE_DISTRIBUTION:-unknown}")",
  "fingerprint": "$(word "${ZAVE_FINGERPRINT:-unknown}")",
  "source_checksum": "$(word "${ZAVE_SOURCE_CHECKSUM:-}")",
  "scripts_digest": "$(word "${ZAVE_SCRIPTS_DIGEST:-unknown}")",
  "kernel": "$(word "$(newest)")",
  "hardening_index": ${index:?Lynis gave no hardening index},
  "lynis_version": "$(word "$version")"
}
END
install -m 0644 /etc/zave/image.json "$folder/image.json"
chmod 0644 "$folder"/*
