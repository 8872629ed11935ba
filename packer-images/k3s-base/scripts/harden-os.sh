#!/bin/sh
# Hardens a Debian or Ubuntu system. Every file is written whole, so the script may be run again; it may be run
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

installed() { # installed PACKAGE...: those of them that are
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'
}

running() { # not in a chroot
  [ -d /run/systemd/system ]
}

packages() {
  # what is installed from now on comes alone
  put 0644 /etc/apt/apt.conf.d/90zave-minimal <<'END'
APT::Install-Recommends "false";
END
  refresh
  apt install auditd debsums kmod libpam-pwquality libpam-tmpdir openssh-server procps unattended-upgrades
  # certificates, tokens and etcd want the right time
  if [ -z "$(installed chrony ntpsec systemd-timesyncd)" ]; then apt install systemd-timesyncd; fi
  # shellcheck disable=SC2046 # a word each
  apt purge $(installed apport inetutils-telnet nis popularity-contest rsh-client talk telnet whoopsie)
  apt clean
}

# before 50-cloud-init.conf: sshd takes the first value that it reads
access() {
  put 0600 /etc/ssh/sshd_config.d/20-zave-hardening.conf <<'END'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitRootLogin no
AllowAgentForwarding no
AllowTcpForwarding no
X11Forwarding no
Compression no
TCPKeepAlive no
ClientAliveInterval 300
ClientAliveCountMax 2
LoginGraceTime 30
LogLevel VERBOSE
MaxAuthTries 3
END
  chmod 0600 /etc/ssh/sshd_config
  passwd -S root | grep -q '^root L ' || passwd -q -l root
  if running; then systemctl try-reload-or-restart ssh.service; fi
}

# k3s' own settings are in 90-k3s.conf and 91-k3s-pods.conf; forwarding and rp_filter belong to pod networking
kernel() {
  # each kernel's own default, and the strictest that it knows
  paranoid=3
  if grep -qx ID=ubuntu /etc/os-release; then paranoid=4; fi
  put 0644 /etc/sysctl.d/80-zave-hardening.conf <<END
dev.tty.ldisc_autoload = 0
fs.protected_fifos = 2
fs.protected_hardlinks = 1
fs.protected_regular = 2
fs.protected_symlinks = 1
fs.suid_dumpable = 0
kernel.core_uses_pid = 1
kernel.ctrl-alt-del = 0
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
kernel.perf_event_paranoid = $paranoid
kernel.randomize_va_space = 2
kernel.sysrq = 0
kernel.unprivileged_bpf_disabled = 1
kernel.yama.ptrace_scope = 1
net.core.bpf_jit_harden = 2
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.accept_source_route = 0
net.ipv4.conf.all.bootp_relay = 0
net.ipv4.conf.all.log_martians = 1
net.ipv4.conf.all.proxy_arp = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv4.conf.default.accept_source_route = 0
net.ipv4.conf.default.log_martians = 1
net.ipv4.icmp_echo_ignore_broadcasts = 1
net.ipv4.icmp_ignore_bogus_error_responses = 1
net.ipv4.tcp_syncookies = 1
net.ipv4.tcp_timestamps = 1
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.all.accept_source_route = 0
net.ipv6.conf.default.accept_redirects = 0
net.ipv6.conf.default.accept_source_route = 0
END
  # protocols, file systems and devices that no node needs
  for module in cramfs dccp firewire-ohci freevxfs hfs hfsplus jffs2 rds sctp tipc usb-storage; do
    echo "install $module /bin/false"
    echo "blacklist $module"
  done | put 0644 /etc/modprobe.d/zave-hardening.conf
  put 0644 /etc/security/limits.d/zave-hardening.conf <<'END'
* hard core 0
END
  put 0644 /etc/systemd/coredump.conf.d/zave-hardening.conf <<'END'
[Coredump]
Storage=none
ProcessSizeMax=0
END
  if running; then sysctl -q --system; fi
}

setting() { # setting NAME VALUE: in /etc/login.defs
  if grep -qx "$1 $2" /etc/login.defs; then return; fi
  sed -i -E "/^[[:space:]]*$1[[:space:]]/d" /etc/login.defs
  echo "$1 $2" >>/etc/login.defs
}

# Nobody here has a password, and an age of it is counted all the same: past it PAM turns away whoever comes with a
# key ("Password change required but no TTY available"). So no age, for accounts to come and for those that are there.
ageless() {
  setting PASS_MAX_DAYS 99999
  awk -F: '$2 ~ /^[!*]/ && $5 != "" && $5 < 99999 { print $1 }' /etc/shadow | while read -r account; do
    chage -M 99999 "$account"
  done
}

accounts() {
  ageless
  setting PASS_MIN_DAYS 1
  setting SHA_CRYPT_MIN_ROUNDS 5000
  setting SHA_CRYPT_MAX_ROUNDS 10000
  setting UMASK 027
  chmod 0750 /etc/sudoers.d
  for folder in /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly; do
    if [ -d "$folder" ]; then chmod 0700 "$folder"; fi
  done
  if [ -f /etc/crontab ]; then chmod 0600 /etc/crontab; fi
  for file in /etc/issue /etc/issue.net; do
    put 0644 "$file" <<'END'
This system is private: access is restricted to authorized persons, is monitored and recorded.
Unauthorized use is prohibited and may be evidence under the law.
END
  done
}

# who became whom, and what changed who may; k3s keeps an audit log of its own for the cluster
auditing() {
  put 0640 /etc/audit/rules.d/50-zave.rules <<'END'
-w /etc/group -p wa -k identity
-w /etc/passwd -p wa -k identity
-w /etc/shadow -p wa -k identity
-w /etc/sudoers -p wa -k sudo
-w /etc/sudoers.d/ -p wa -k sudo
-w /etc/ssh/sshd_config -p wa -k sshd
-w /etc/ssh/sshd_config.d/ -p wa -k sshd
-w /etc/apparmor.d/ -p wa -k apparmor
-w /etc/rancher/ -p wa -k k3s
-w /usr/local/bin/k3s -p wa -k k3s
-a always,exit -F arch=b64 -S init_module,finit_module,delete_module -k modules
-a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -k time
END
  systemctl enable -q auditd.service
  # refuses a restart by systemctl; where the kernel has no auditing there is nothing to load
  if running; then augenrules --load >/dev/null 2>&1 || echo "the audit rules load at the next boot"; fi
}

# restarts are the administrator's: a node is drained first
updates() {
  put 0644 /etc/apt/apt.conf.d/20auto-upgrades <<'END'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
END
  put 0644 /etc/apt/apt.conf.d/52zave-upgrades <<'END'
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Dependencies "true";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
END
}

packages
access
kernel
accounts
auditing
updates
