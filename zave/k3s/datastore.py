"""The cluster's datastore out of the first server and back into it: etcd's own snapshots, or SQLite's.

A snapshot holds every Secret of the cluster, and the keys with which k3s has encrypted them: with it a
control plane that is lost for good begins anew as what it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.errors import PreconditionError, StepFailedError
from zave.k3s import authority, snapshot_file
from zave.k3s.lab import Lab
from zave.k3s.snapshot_file import DIGEST, Header, read_header
from zave.k3s.versions import Version
from zave.ports.machines import Machine

_DAMAGED = 66

# prints: kind, release, digest of the cluster's CA, digest and size of the data that it made and of the keys
_MAKE = f"""
umask 077
folder=/var/lib/zave/snapshot
rm -rf "$folder"
mkdir -p "$folder"
if [ -d /var/lib/rancher/k3s/server/db/etcd ]; then
  kind=etcd
  k3s etcd-snapshot save --name zave --etcd-snapshot-dir "$folder" >/dev/null
  mv "$folder"/zave-* "$folder/data"
else
  kind=sqlite
  python3 - /var/lib/rancher/k3s/server/db/state.db "$folder/data" <<'END'
import sqlite3, sys
# sqlite's online backup: whole and consistent while k3s goes on writing
source = sqlite3.connect(f"file:{{sys.argv[1]}}?mode=ro", uri=True)
target = sqlite3.connect(sys.argv[2])
source.backup(target)
target.close()
END
fi
{authority.PACK}
echo "$kind"
k3s --version | awk 'NR == 1 {{ print $3 }}'
sha256sum </var/lib/rancher/k3s/server/tls/server-ca.crt
sha256sum <"$folder/data"
wc -c <"$folder/data"
sha256sum <"$folder/keys"
wc -c <"$folder/keys"
"""

_SEND = "cat /var/lib/zave/snapshot/data /var/lib/zave/snapshot/keys"
_CLEAN = "rm -rf /var/lib/zave/snapshot /var/lib/zave/restore"

# an etcd whose folder is lost is still one: its configuration says so
_IDENTIFY = """
cd /etc/rancher/k3s
if [ -d /var/lib/rancher/k3s/server/db/etcd ]; then echo etcd
elif grep -qsE '^(cluster-init: true|server:)' config.yaml config.yaml.d/*.yaml; then echo etcd
else echo sqlite; fi
k3s --version | awk 'NR == 1 { print $3 }'
sha256sum </var/lib/rancher/k3s/server/tls/server-ca.crt
"""

# standard input is the whole file; $1 and $2 are digest and size of the data, $3 is the digest of the keys
_TAKE = """
umask 077
folder=/var/lib/zave/restore
rm -rf "$folder"
mkdir -p "$folder"
cat >"$folder/whole"
tail -c +4097 "$folder/whole" | head -c "$2" >"$folder/data"
[ "$(sha256sum <"$folder/data")" = "$1  -" ] || exit 66
if [ -n "$3" ]; then
  tail -c "+$((4097 + $2))" "$folder/whole" >"$folder/keys"
  [ "$(sha256sum <"$folder/keys")" = "$3  -" ] || exit 66
fi
rm "$folder/whole"
"""

# with the unit that waits for the token: it starts k3s again as soon as it stops
_STOP = "systemctl stop k3s-token.path k3s.service"
_START = "systemctl --no-block start k3s-token.path k3s.service"

_FORMER = "/var/lib/rancher/k3s/server/db.before-restore-"

# $1 names the folder beside the datastore in which what was there stays; whole or not at all
_PUT_SQLITE = """
umask 077
db=/var/lib/rancher/k3s/server/db
former=/var/lib/rancher/k3s/server/db.before-restore-$1
# a connection that was lost may have left this at work
exec 9>/var/lib/zave/restore.lock
flock 9
mkdir -p "$db"
if [ ! -e "$former" ]; then
  rm -rf "$former.part"
  cp -a "$db" "$former.part"
  mv "$former.part" "$former"
fi
cp /var/lib/zave/restore/data "$db/state.db.new"
# a log of the former database would be played into the new one
rm -f "$db/state.db-wal" "$db/state.db-shm"
mv -f "$db/state.db.new" "$db/state.db"
"""

# k3s documentation, "k3s etcd-snapshot" (2026-11): it ends by itself after the reset. It refuses a reset
# while its configuration names a server to join (k3s-io/k3s issue 8488), as that of a first server does
# which was made anew. After a reset that failed, k3s would begin an empty cluster: what was there comes back
_PUT_ETCD = """
umask 077
db=/var/lib/rancher/k3s/server/db
former=/var/lib/rancher/k3s/server/db.before-restore-$1
join=/etc/rancher/k3s/config.yaml.d/zave-join.yaml
aside=/etc/rancher/k3s/zave-join.aside
exec 9>/var/lib/zave/restore.lock
flock 9
mkdir -p "$db"
if [ ! -e "$former" ]; then
  rm -rf "$former.part"
  mkdir "$former.part"
  [ ! -e "$db/etcd" ] || cp -a "$db/etcd" "$former.part/"
  mv "$former.part" "$former"
fi
restored=no
finish() {
  [ ! -e "$aside" ] || mv -f "$aside" "$join"
  [ "$restored" = no ] || return 0
  rm -rf "$db/etcd"
  [ ! -e "$former/etcd" ] || cp -a "$former/etcd" "$db/"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
[ ! -e "$join" ] || mv -f "$join" "$aside"
k3s server --cluster-reset --cluster-reset-restore-path=/var/lib/zave/restore/data 9>&-
restored=yes
"""

_LEAVE_ETCD = """
former=/var/lib/rancher/k3s/server/db.before-restore-$1
[ -e "$former" ] || mv /var/lib/rancher/k3s/server/db "$former"
"""


@dataclass(frozen=True)
class Restore:
    """What is put back. `takes_over`: into a control plane that is not the one that the snapshot is of.

    `stamp` names what was there before, which stays.
    """

    source: Path
    header: Header
    stamp: str
    takes_over: bool = False


def save(lab: Lab, leader: Machine, destination: Path) -> Header:
    """Copy the datastore of the running `leader` into the new file `destination` (0600).

    Raises StepFailedError; then there is no such file.
    """
    if destination.exists():
        raise StepFailedError(
            f"{destination} is there already", where=str(destination), resolution="name another file"
        )
    draft = destination.with_name(f".{destination.name}.part")
    try:
        said = lab.order(leader, "making a snapshot", _MAKE, limit=lab.limits.copy)
        header = _header(lab, leader, said.split("\n"))
        draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        snapshot_file.begin(draft, header)
        answer = lab.ssh.fetch(lab.host(leader), _SEND, limit=lab.limits.copy, destination=draft)
        if answer.exit_code != 0:
            raise lab.failed(leader, "copying the snapshot", answer)
        if not snapshot_file.is_whole(draft, header):
            raise StepFailedError(
                f"the snapshot of {leader.name} did not arrive whole",
                where=str(destination),
                resolution="see that this disk has room, then run the same command again",
            )
        draft.replace(destination)
    finally:
        draft.unlink(missing_ok=True)
        lab.ask(leader, _CLEAN)
    return header


def check(lab: Lab, leader: Machine, source: Path) -> tuple[Header, bool]:
    """Refuse a snapshot of another kind, a newer release or another instance before anything is touched.

    The second of what it returns is whether the control plane is another one than the snapshot's.
    """
    header = read_header(source)
    said = lab.order(leader, "looking at the datastore", _IDENTIFY).split("\n")
    kind, release, found = [*said, "", "", ""][:3]
    another = found.split(" ")[0] != header.ca_sha256
    if another:
        _check_of_former(lab, source, header)
    before, present = Version.of(header.release), Version.of(release)
    if before is None or present is None or before > present:
        raise PreconditionError(
            f"{source.name} was made by k3s {header.release}, and {leader.name} runs {release[:64]}",
            where=str(source),
            resolution=f"set kubernetes.version to {header.release}, `zave up`, then restore",
        )
    if kind != header.kind:
        raise PreconditionError(
            f"{source.name} is of {header.kind}, and this cluster keeps its data in {kind[:20]}",
            where=str(source),
            resolution="name a snapshot that was made since the number of control plane machines changed",
        )
    return header, another


def _check_of_former(lab: Lab, source: Path, header: Header) -> None:
    if header.instance != lab.instance:
        raise PreconditionError(
            f"{source.name} is a snapshot of another cluster (of {header.instance})",
            where=str(source),
            details="its nodes have other names: they would never be Ready here",
            resolution=f"name a snapshot of {lab.instance}: zave snapshot {lab.instance} takes one",
        )
    if not header.keys_size:
        raise PreconditionError(
            f"{source.name} is of an earlier control plane of {header.instance}, and does not hold its keys",
            where=str(source),
            details="an older zave made it: the data is sealed with keys that went with that control plane",
            resolution="name a snapshot that was made since this control plane was made",
        )


def former(stamp: str) -> str:
    """Where each server keeps the data that a restore of that name has replaced."""
    return f"{_FORMER}{stamp}"


def put_back(lab: Lab, servers: Sequence[Machine], restore: Restore) -> None:
    """Replace the datastore with the snapshot's. `servers` begins with the one that leads.

    The former data stays in the folder `former(stamp)` on each server. Where the snapshot cannot be put
    back the servers go on with what they had.
    """
    leader, header = servers[0], restore.header
    _bring(lab, leader, restore)
    try:
        for server in servers:
            lab.tell(server, "stopping k3s")
            lab.order(server, "stopping k3s", _STOP, limit=lab.limits.drain)
        put = _PUT_ETCD if header.kind == "etcd" else _PUT_SQLITE
        if restore.takes_over:
            authority.adopt(lab, leader, stamp=restore.stamp)
        try:
            lab.order(leader, "putting the snapshot back", put, restore.stamp, limit=lab.limits.start)
        except BaseException:
            if restore.takes_over:
                authority.give_back(lab, leader, stamp=restore.stamp)
            raise
        for server in servers[1:]:
            # they take the data from the leader again
            lab.order(server, "leaving the former datastore", _LEAVE_ETCD, restore.stamp)
            if restore.takes_over:
                authority.drop(lab, server, stamp=restore.stamp)
    finally:
        for server in servers:
            lab.ask(server, _START)
        lab.ask(leader, _CLEAN)


def _bring(lab: Lab, leader: Machine, restore: Restore) -> None:
    """Copy the snapshot to the machine, and compare its digests there."""
    source, header = restore.source, restore.header
    lab.tell(leader, "copying the snapshot there")
    told = (header.sha256, str(header.size), header.keys_sha256)
    answer = lab.ssh.run(lab.host(leader), _TAKE, *told, limit=lab.limits.copy, input=source)
    if answer.exit_code == _DAMAGED:
        raise PreconditionError(
            f"{source.name} is damaged: its digest is another one",
            where=str(source),
            resolution="nothing was changed; name another snapshot",
        )
    if answer.exit_code != 0:
        raise lab.failed(leader, "copying the snapshot", answer)


def _header(lab: Lab, leader: Machine, said: Sequence[str]) -> Header:
    kind, release, ca, data, size, keys, keys_size = [*said, *[""] * 7][:7]
    digests = [line.split(" ")[0] for line in (ca, data, keys)]
    well_formed = (
        kind in ("etcd", "sqlite")
        and Version.of(release) is not None
        and all(map(DIGEST.fullmatch, digests))
        and all(re.fullmatch(r"\s*[0-9]{1,15}\s*", each) for each in (size, keys_size))
    )
    if not well_formed:
        raise StepFailedError(
            f"{leader.name} did not say what kind of snapshot it made",
            where=f"{leader.name} ({leader.address})",
            resolution="run the same command again",
        )
    return Header(
        lab.instance,
        kind,
        release,
        ca_sha256=digests[0],
        sha256=digests[1],
        size=int(size),
        keys_sha256=digests[2],
        keys_size=int(keys_size),
    )
