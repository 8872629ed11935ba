"""What makes a control plane the one it is: its authorities' certificates and keys, and its tokens.

A datastore is of no use to another one: what k3s keeps in it for new servers is sealed with the server's
token (k3s documentation, "Backup and Restore" and "k3s etcd-snapshot", section "Restoring To New Hosts",
2026-11), Secrets with the keys in `server/cred`, and every kubelet and kubeconfig trusts the authorities in
`server/tls`. For SQLite the maintainers advise a copy of the whole folder `server` (k3s-io/k3s issue 1318).
"""

from zave.k3s.lab import Lab
from zave.ports.machines import Machine

# into the archive $folder/keys; tokens without the part that names their cluster
PACK = """
own=/var/lib/zave/snapshot/own
server=/var/lib/rancher/k3s/server
mkdir "$own"
for each in tls cred; do
  [ ! -e "$server/$each" ] || cp -a "$server/$each" "$own/$each"
done
token=$(cat "$server/token")
agent=$(cat "$server/agent-token")
printf '%s\\n' "${token##*::server:}" >"$own/token"
printf '%s\\n' "${agent##*::node:}" >"$own/agent-token"
tar -C "$own" -cf "$folder/keys" .
rm -rf "$own"
"""

_BEGIN = """
umask 077
server=/var/lib/rancher/k3s/server
etc=/etc/rancher/k3s
former=$server/keys.before-restore-$1
mkdir -p /var/lib/zave
# a connection that was lost may have left this at work
exec 9>/var/lib/zave/restore.lock
flock 9
"""

# what the machine has stays in $former, whole or not at all
_ADOPT = f"""{_BEGIN}
own=/var/lib/zave/restore/own
rm -rf "$own"
mkdir "$own"
tar -C "$own" -xpf /var/lib/zave/restore/keys
for each in token agent-token tls/server-ca.crt; do
  [ -s "$own/$each" ] || exit 65
done
if [ ! -e "$former" ]; then
  rm -rf "$former.part"
  mkdir "$former.part"
  for each in tls cred; do
    [ ! -e "$server/$each" ] || cp -a "$server/$each" "$former.part/$each"
  done
  cp -p "$etc/token" "$etc/agent-token" "$former.part/"
  mv "$former.part" "$former"
fi
# the tokens in secure form that k3s wrote itself: it writes them anew
rm -rf "$server/tls" "$server/cred" "$server/token" "$server/node-token" "$server/agent-token"
for each in tls cred; do
  [ ! -e "$own/$each" ] || mv "$own/$each" "$server/$each"
done
for each in agent-token token; do
  cp "$own/$each" "$etc/$each.new"
  mv -f "$etc/$each.new" "$etc/$each"
done
"""

_GIVE_BACK = f"""{_BEGIN}
[ -e "$former" ] || exit 0
rm -rf "$server/tls" "$server/cred" "$server/token" "$server/node-token" "$server/agent-token"
for each in tls cred; do
  [ ! -e "$former/$each" ] || cp -a "$former/$each" "$server/$each"
done
cp -p "$former/token" "$former/agent-token" "$etc/"
rm -rf "$former"
"""

# a server that joins is given the leader's, when it has none of its own
_DROP = f"""{_BEGIN}
if [ ! -e "$former" ]; then
  rm -rf "$former.part"
  mkdir "$former.part"
  for each in tls cred token node-token agent-token; do
    [ ! -e "$server/$each" ] || mv "$server/$each" "$former.part/"
  done
  mv "$former.part" "$former"
fi
"""


def adopt(lab: Lab, leader: Machine, *, stamp: str) -> None:
    """Have a server that stands still be the one whose keys came with the snapshot.

    The archive lies on the machine. What it had stays beside the new, under the name of `stamp`.
    """
    lab.order(leader, "taking over the former control plane's keys", _ADOPT, stamp, limit=lab.limits.copy)


def give_back(lab: Lab, leader: Machine, *, stamp: str) -> None:
    """Undo `adopt`, as far as the machine can be reached."""
    lab.ask(leader, _GIVE_BACK, stamp)


def drop(lab: Lab, server: Machine, *, stamp: str) -> None:
    """Have another server that stands still forget its keys, so that it takes the leader's."""
    lab.order(server, "setting its keys aside", _DROP, stamp)
