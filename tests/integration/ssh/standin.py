#!/usr/bin/python3
"""What stands in for sudo, systemctl, k3s and journalctl on a machine that is only a folder, $GUEST.

Reached through a real sshd. $CLUSTER is what all machines share: the nodes and the cluster's CA.
It is started many hundred times: what only few of its words need is imported there.
"""

import json
import os
import re
import sys
from pathlib import Path

GUEST = Path(os.environ["GUEST"])
CLUSTER = Path(os.environ["CLUSTER"])
NAME = GUEST.name
OURS = re.compile(
    r"(?<![\w.])/(etc/rancher|etc/zave|var/lib/rancher|var/lib/zave|var/log|run/cloud-init|usr/local/bin)"
)
SERVER = GUEST / "var/lib/rancher/k3s/server"


def note(line: str) -> None:
    with (GUEST / "calls").open("a") as calls:
        calls.write(line + "\n")


def sudo(words: list[str]) -> None:
    # -n -- /bin/sh -euc SCRIPT zave ...: this machine's paths become the guest's
    if (GUEST / "no-sudo").exists():
        sys.exit("sudo: a password is required")
    if (GUEST / "cut").exists() and "read -r server" in words[4]:
        import signal

        os.read(0, 20)
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
    os.execv("/bin/sh", [OURS.sub(rf"{GUEST}/\1", word) for word in words[2:]])


def put_node(name: str, **changes: object) -> None:
    file = CLUSTER / f"{name}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(known | changes))
    draft.replace(file)


def install() -> None:
    if (GUEST / "no-install").exists():
        sys.exit("zave-install-k3s: k3s could not be fetched")
    environment = (GUEST / "etc/zave/k3s.env").read_text()
    version = environment.split('VERSION="', 1)[1].split('"')[0]
    binary = GUEST / "usr/local/bin/k3s"
    binary.parent.mkdir(parents=True, exist_ok=True)
    binary.write_text(version)


def settings() -> dict[str, str]:
    """The lines `key: value` of k3s' configuration; later files win."""
    folder = GUEST / "etc/rancher/k3s"
    found: dict[str, str] = {}
    for file in (folder / "config.yaml", *sorted((folder / "config.yaml.d").glob("*.yaml"))):
        if file.exists():
            found.update(re.findall(r"(?m)^([a-z-]+): *(.*)$", file.read_text()))
    return {key: value.strip('"') for key, value in found.items()}


def authority_of(joined: str | None, token: str) -> Path:
    """The CA of the cluster that this server begins or joins."""
    import hashlib

    authority = SERVER / "tls/server-ca.crt"
    if joined is None:
        if not authority.exists():
            authority.write_bytes(os.urandom(32))
            for file in (*CLUSTER.glob("*.json"), *CLUSTER.glob("*.password")):
                file.unlink()
        return authority
    address = joined.removeprefix("https://").removesuffix(":6443")
    for guest in GUEST.parent.iterdir():
        theirs = guest / "var/lib/rancher/k3s/server"
        if (guest / "address").read_text() != address or not (theirs / "db/etcd").is_dir():
            continue
        content = (theirs / "tls/server-ca.crt").read_bytes()
        if token.startswith(f"K10{hashlib.sha256(content).hexdigest()}::server:"):
            authority.write_bytes(content)
            if not (SERVER / "db/etcd").exists():
                (SERVER / "db/etcd").mkdir()
                (SERVER / "db/etcd/data").write_bytes((theirs / "db/etcd/data").read_bytes())
    return authority


def put_data(configured: dict[str, str]) -> None:
    """The datastore, as k3s has it: etcd wins, SQLite is converted with `cluster-init`."""
    import sqlite3

    db, etcd = SERVER / "db", SERVER / "db/etcd"
    if configured.get("cluster-init") == "true" and not etcd.exists():
        etcd.mkdir()
        if (db / "state.db").exists():
            (db / "state.db").rename(etcd / "data")
    if etcd.exists():
        sqlite3.connect(etcd / "data").execute("create table if not exists kine (value text)")
    else:
        sqlite3.connect(db / "state.db").execute("create table if not exists kine (value text)")


def start() -> None:
    import hashlib
    import sqlite3

    install()
    token = (GUEST / "etc/rancher/k3s/token").read_text().strip()
    configured = settings()
    if (GUEST / "server").exists():
        (SERVER / "tls").mkdir(parents=True, exist_ok=True)
        (SERVER / "db").mkdir(exist_ok=True)
        authority = authority_of(configured.get("server"), token)
        try:
            digest = hashlib.sha256(authority.read_bytes()).hexdigest()
            put_data(configured)
        except (OSError, sqlite3.DatabaseError):
            (GUEST / "unit").write_text("activating")
            return
        (CLUSTER / "ca").write_text(digest)
        agent = (GUEST / "etc/rancher/k3s/agent-token").read_text().strip()
        (SERVER / "token").write_text(f"K10{digest}::server:{token.rpartition(':')[2]}\n")
        (SERVER / "agent-token").write_text(f"K10{digest}::node:{agent}\n")
        (GUEST / "etc/rancher/k3s/k3s.yaml").write_text(
            "clusters: [{name: default, cluster: {server: 'https://127.0.0.1:6443', "
            "certificate-authority-data: QQ==}}]\n"
            "users: [{name: default, user: {client-certificate-data: Qg==, client-key-data: Qw==}}]\n"
        )
    if "broken" in configured:
        (GUEST / "unit").write_text("activating")
        return
    (GUEST / "unit").write_text("active")
    # what it was started with, and a heartbeat of its own
    (GUEST / "runs").write_text(json.dumps(configured))
    release = (GUEST / "usr/local/bin/k3s").read_text()
    (GUEST / "kubelet").write_text(json.dumps({"release": release, "heartbeat": os.urandom(8).hex()}))
    password = GUEST / "etc/rancher/node/password"
    if not password.exists():
        password.parent.mkdir(parents=True, exist_ok=True)
        password.write_text(os.urandom(8).hex())
    register(GUEST)


def register(guest: Path) -> None:
    """Tell the API of a kubelet, if it is let in: an agent that is refused tries again, and stays active."""
    token = (guest / "etc/rancher/k3s/token").read_text().strip()
    server = (guest / "server").exists()
    if not server and not token.startswith(f"K10{(CLUSTER / 'ca').read_text()}::node:"):
        return
    # kept for each name with the first one who comes, until it is deleted
    known, own = CLUSTER / f"{guest.name}.password", (guest / "etc/rancher/node/password").read_text()
    if not known.exists():
        known.write_text(own)
    if known.read_text() == own:
        put_node(guest.name, server=server, **json.loads((guest / "kubelet").read_text()))


def retry() -> None:
    """What agents do again and again: those whose node the API does not have as they are."""
    for guest in GUEST.parent.iterdir():
        unit = guest / "unit"
        if unit.exists() and unit.read_text() == "active" and (guest / "kubelet").exists():
            register(guest)


def unit() -> str:
    if not (GUEST / "etc/rancher/k3s/token").exists():
        return "inactive"
    if not (GUEST / "unit").exists():
        start()
    return (GUEST / "unit").read_text()


def systemctl(words: list[str]) -> None:
    words = [word for word in words if not word.startswith("--")]
    if words[0] == "is-active":
        sys.stdout.write(unit() + "\n")
        return
    if words[0] == "is-failed":
        sys.exit(1)
    note(f"systemctl {' '.join(words)}")
    if words[0] == "stop":
        (GUEST / "unit").write_text("inactive")
    elif (words[0] == "start" and (not (GUEST / "unit").exists() or unit() == "inactive")) or words[0] in (
        "restart",
        "try-restart",
    ):
        start()


def kubectl(words: list[str]) -> None:
    if words[:2] == ["get", "--raw"]:
        sys.exit(0 if unit() == "active" else 1)
    if words[:2] == ["get", "nodes"]:
        retry()
        sys.stdout.write(
            json.dumps({"items": [shown(file) for file in sorted(CLUSTER.glob("*.json"))]}) + "\n"
        )
        return
    note(f"kubectl {' '.join(words)}")
    if words[0] == "annotate":
        put_node(words[2], mark=None if words[3].endswith("-") else words[3].split("=")[1])
    elif words[0] in ("drain", "cordon", "uncordon"):
        put_node(words[1], cordoned=words[0] != "uncordon")
        if words[0] == "drain" and (CLUSTER / "budget").exists():
            sys.exit(
                "error when evicting pods: \x1b[31mCannot evict pod\x1b[0m as it would violate its budget"
            )
    elif words[:2] == ["delete", "node"]:
        # k3s drops the password with the node
        (CLUSTER / f"{words[2]}.json").unlink(missing_ok=True)
        (CLUSTER / f"{words[2]}.password").unlink(missing_ok=True)
    elif words[:4] == ["-n", "kube-system", "delete", "secret"]:
        for word in words[4:]:
            name = word.removesuffix(".node-password.k3s")
            if name != word:
                (CLUSTER / f"{name}.password").unlink(missing_ok=True)


def shown(file: Path) -> dict[str, object]:
    known = json.loads(file.read_text())
    labels = {"node-role.kubernetes.io/control-plane": "true"} if known.get("server") else {}
    marks = {"zave/upgrading": known["mark"]} if known.get("mark") else {}
    return {
        "metadata": {"name": file.stem, "labels": labels, "annotations": marks},
        "spec": {"unschedulable": True} if known.get("cordoned") else {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [
                {
                    "type": "Ready",
                    "status": "Unknown" if known.get("silent") else "True",
                    "lastHeartbeatTime": known.get("heartbeat", ""),
                }
            ],
            "nodeInfo": {"kubeletVersion": known["release"]},
        },
    }


def k3s(words: list[str]) -> None:
    if words == ["--version"]:
        binary = GUEST / "usr/local/bin/k3s"
        if not binary.exists():
            sys.exit(127)
        sys.stdout.write(f"k3s version {binary.read_text()} (standin)" + "\n")
    elif words[0] == "kubectl":
        kubectl(words[1:])
    elif words[:2] == ["etcd-snapshot", "save"]:
        import sqlite3

        note("etcd-snapshot")
        sqlite3.connect(SERVER / "db/etcd/data").execute("select * from kine")
        Path(words[words.index("--etcd-snapshot-dir") + 1], "zave-lab-1").write_bytes(
            (SERVER / "db/etcd/data").read_bytes()
        )
    elif words[0] == "server":
        reset(words)


def reset(words: list[str]) -> None:
    import shutil

    note("cluster-reset")
    if "server" in settings():
        sys.exit(
            "FATA[0000] cannot perform cluster-reset while server URL is set - remove server from "
            "configuration before resetting"
        )
    source = next(word.partition("=")[2] for word in words if "restore-path" in word)
    shutil.rmtree(SERVER / "db/etcd", ignore_errors=True)
    if (GUEST / "no-reset").exists():
        sys.exit("FATA[0001] snapshot restore failed")
    (SERVER / "db/etcd").mkdir(parents=True)
    (SERVER / "db/etcd/data").write_bytes(Path(source).read_bytes())


def main() -> None:
    program, words = Path(sys.argv[0]).name, sys.argv[1:]
    if program == "sudo":
        sudo(words)
    elif program == "systemctl":
        systemctl(words)
    elif program == "zave-install-k3s":
        install()
    elif program == "journalctl":
        sys.stdout.write("level=fatal msg=\x1b]0;pwned\x07\x1b[2Jwhat went wrong" + "\n")
    elif program == "k3s":
        k3s(words)


main()
