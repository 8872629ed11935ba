#!/usr/bin/python3
"""What stands in for sudo, systemctl, k3s and journalctl on a machine that is only a folder, $GUEST.

Reached through a real sshd. $CLUSTER is what all machines share: the nodes and the cluster's CA.
"""

import hashlib
import json
import os
import re
import signal
import sqlite3
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


def start() -> None:
    install()
    token = (GUEST / "etc/rancher/k3s/token").read_text().strip()
    if (GUEST / "server").exists():
        (SERVER / "tls").mkdir(parents=True, exist_ok=True)
        (SERVER / "db").mkdir(exist_ok=True)
        authority = SERVER / "tls/server-ca.crt"
        if not authority.exists():
            authority.write_bytes(os.urandom(32))
            for file in CLUSTER.glob("*.json"):
                file.unlink()
        digest = hashlib.sha256(authority.read_bytes()).hexdigest()
        (CLUSTER / "ca").write_text(digest)
        agent = (GUEST / "etc/rancher/k3s/agent-token").read_text().strip()
        (SERVER / "token").write_text(f"K10{digest}::server:{token}\n")
        (SERVER / "agent-token").write_text(f"K10{digest}::node:{agent}\n")
        sqlite3.connect(SERVER / "db/state.db").execute("create table if not exists kine (value text)")
        (GUEST / "etc/rancher/k3s/k3s.yaml").write_text(
            "clusters: [{name: default, cluster: {server: 'https://127.0.0.1:6443', "
            "certificate-authority-data: QQ==}}]\n"
            "users: [{name: default, user: {client-certificate-data: Qg==, client-key-data: Qw==}}]\n"
        )
    elif not token.startswith(f"K10{(CLUSTER / 'ca').read_text()}::node:"):
        (GUEST / "unit").write_text("activating")
        return
    (GUEST / "unit").write_text("active")
    put_node(NAME, release=(GUEST / "usr/local/bin/k3s").read_text(), server=(GUEST / "server").exists())


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
        (CLUSTER / f"{words[2]}.json").unlink(missing_ok=True)


def shown(file: Path) -> dict[str, object]:
    known = json.loads(file.read_text())
    labels = {"node-role.kubernetes.io/control-plane": "true"} if known.get("server") else {}
    marks = {"zave/upgrading": known["mark"]} if known.get("mark") else {}
    return {
        "metadata": {"name": file.stem, "labels": labels, "annotations": marks},
        "spec": {"unschedulable": True} if known.get("cordoned") else {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
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
