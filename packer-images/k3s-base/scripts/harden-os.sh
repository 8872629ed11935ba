#!/bin/sh
# Hardens a Debian or Ubuntu system. Every file is written whole, so the script may be run again.
set -eu

put() { # put MODE PATH: writes standard input
  install -D -m "$1" /dev/stdin "$2"
}

# access
put 0600 /etc/ssh/sshd_config.d/10-zave.conf <<'EOF'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
X11Forwarding no
AllowAgentForwarding no
MaxAuthTries 3
LoginGraceTime 30
ClientAliveInterval 300
ClientAliveCountMax 2
EOF
passwd -l root >/dev/null

# kernel: nothing here may break pod networking, so forwarding is left alone
put 0644 /etc/sysctl.d/80-zave-hardening.conf <<'EOF'
fs.protected_fifos = 2
fs.protected_hardlinks = 1
fs.protected_regular = 2
fs.protected_symlinks = 1
fs.suid_dumpable = 0
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
kernel.sysrq = 0
kernel.unprivileged_bpf_disabled = 1
kernel.yama.ptrace_scope = 1
net.core.bpf_jit_harden = 2
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.log_martians = 1
net.ipv4.conf.all.send_redirects = 0
net.ipv4.conf.default.accept_redirects = 0
net.ipv6.conf.all.accept_redirects = 0
net.ipv6.conf.default.accept_redirects = 0
EOF

# kernel modules that no node needs
put 0644 /etc/modprobe.d/zave-hardening.conf <<'EOF'
install dccp /bin/false
install rds /bin/false
install sctp /bin/false
install tipc /bin/false
install usb-storage /bin/false
EOF

# accounts
sed -i -E \
  -e 's/^#?[[:space:]]*UMASK[[:space:]].*/UMASK 027/' \
  -e 's/^#?[[:space:]]*PASS_MAX_DAYS[[:space:]].*/PASS_MAX_DAYS 365/' \
  -e 's/^#?[[:space:]]*PASS_MIN_DAYS[[:space:]].*/PASS_MIN_DAYS 1/' \
  /etc/login.defs
put 0644 /etc/security/limits.d/zave-hardening.conf <<'EOF'
* hard core 0
EOF
