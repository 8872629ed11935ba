"""The stand-in for k3s keeps the promises of k3s that the home lab's tests rely on."""

import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

K3S = Path(__file__).with_name("standin_k3s.py")
LONGEST = 60


@dataclass
class Guest:
    """A machine's files in a folder; its k3s is started and asked as in a machine."""

    root: Path
    port: int
    children: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def server(self) -> Path:
        return self.root / "var/lib/rancher/k3s/server"

    def write(self, name: str, text: str) -> None:
        file = self.root / "etc/rancher/k3s" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        own = {"ZAVE_STANDIN_ROOT": str(self.root), "ZAVE_STANDIN_PORT": str(self.port)}
        return {"PATH": os.environ["PATH"], **own, **(more or {})}

    def k3s(self, *arguments: str, expect: int = 0) -> str:
        ran = subprocess.run(
            [sys.executable, "-I", str(K3S), *arguments],
            env=self.environment(), capture_output=True, text=True, check=False, timeout=LONGEST,
        )  # fmt: skip
        assert ran.returncode == expect, ran.stderr
        return ran.stdout + ran.stderr

    def start(self, role: str) -> None:
        """Start it, and wait until it tells systemd that it is ready, or ends."""
        place = self.root / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(place))
            systemd.settimeout(LONGEST)
            log = (self.root / f"{role}.log").open("ab")
            child = subprocess.Popen(
                [sys.executable, "-I", str(K3S), role],
                env=self.environment({"NOTIFY_SOCKET": str(place)}), stdout=log, stderr=log,
            )  # fmt: skip
            log.close()
            self.children.append(child)
            assert systemd.recv(100) == b"READY=1"
        place.unlink()

    def stop(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self.children.clear()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Callable[[str, int], Guest]]:
    made: list[Guest] = []

    def make(name: str, port: int) -> Guest:
        (tmp_path / name).mkdir()
        made.append(Guest(tmp_path / name, port))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def server_of(guest: Callable[[str, int], Guest]) -> Guest:
    made = guest("server", free_port())
    made.write(
        "config.yaml",
        'node-name: "lab-control-plane-1"\nnode-ip: "127.0.0.1"\n'
        "token-file: /etc/rancher/k3s/token\nagent-token-file: /etc/rancher/k3s/agent-token\n"
        'tls-san: ["127.0.0.1", "lab-control-plane-1"]\nwrite-kubeconfig-mode: "0600"\n',
    )
    made.write("token", "servers-only\n")
    made.write("agent-token", "agents-only\n")
    made.start("server")
    return made


def agent_of(guest: Callable[[str, int], Guest], server: Guest, token: str) -> Guest:
    made = guest("agent", server.port)
    made.write(
        "config.yaml",
        "node-name: lab-worker-1\nnode-ip: 127.0.0.1\n"
        f"server: https://127.0.0.1:{server.port}\ntoken-file: /etc/rancher/k3s/token\n"
        "node-label:\n  - zave.io/pool=worker\n",
    )
    made.write("token", token)
    return made


def nodes(server: Guest) -> dict[str, dict[str, object]]:
    items = json.loads(server.k3s("kubectl", "get", "nodes", "-o", "json"))["items"]
    return {item["metadata"]["name"]: item for item in items}


def test_it_names_the_release_as_k3s_does(guest: Callable[[str, int], Guest]) -> None:
    assert guest("any", 1).k3s("--version").split()[:3] == ["k3s", "version", "v1.35.9+k3s1"]


def test_a_server_is_ready_with_secure_tokens_and_a_kubeconfig(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    digest = hashlib.sha256((server.server / "tls/server-ca.crt").read_bytes()).hexdigest()
    assert (server.server / "token").read_text() == f"K10{digest}::server:servers-only\n"
    assert (server.server / "agent-token").read_text() == f"K10{digest}::node:agents-only\n"
    assert server.k3s("kubectl", "get", "--raw", "/readyz").strip() == "ok"
    assert list(nodes(server)) == ["lab-control-plane-1"]
    for file in (
        server.root / "etc/rancher/k3s/k3s.yaml",
        server.server / "token",
        server.server / "agent-token",
    ):
        assert file.stat().st_mode & 0o777 == 0o600


def test_nobody_without_credentials_is_answered(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    trusted = ssl.create_default_context(cafile=str(server.server / "tls/server-ca.crt"))
    for path, status in (("/cacerts", "200"), ("/readyz", "401"), ("/api/v1/nodes", "401")):
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=LONGEST) as plain,
            trusted.wrap_socket(plain, server_hostname="127.0.0.1") as channel,
        ):
            channel.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            assert channel.recv(100).split()[1].decode() == status


def test_an_agent_with_the_agents_token_joins_and_is_recorded(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    agent = agent_of(guest, server, (server.server / "agent-token").read_text())
    log = agent.root / "agent.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-I", str(K3S), "agent"],
            env=agent.environment(), stdout=subprocess.PIPE, stderr=output,
        )  # fmt: skip
        agent.children.append(child)
        assert child.stdout is not None
        # its first line is that it joined
        assert b"joined 127.0.0.1" in child.stdout.readline()
        child.stdout.close()

    records = [json.loads(line) for line in (server.server / "joins.jsonl").read_text().splitlines()]
    assert [(r["name"], r["role"], r["user"]) for r in records] == [
        ("lab-control-plane-1", "server", "server"),
        ("lab-worker-1", "agent", "node"),
    ]
    config = (agent.root / "etc/rancher/k3s/config.yaml").read_bytes()
    assert records[1]["config_sha256"] == hashlib.sha256(config).hexdigest()
    worker = nodes(server)["lab-worker-1"]
    assert '"zave.io/pool": "worker"' in json.dumps(worker)
    assert "agents-only" not in (server.server / "joins.jsonl").read_text()


def said_by_agent(agent: Guest, message: str) -> None:
    """Start the agent, and wait until it says so; it goes on."""
    child = subprocess.Popen(
        [sys.executable, "-I", str(K3S), "agent"],
        env=agent.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    agent.children.append(child)
    assert child.stdout is not None
    line = child.stdout.readline()
    child.stdout.close()
    assert message in line.decode()
    assert child.poll() is None


def test_a_token_that_is_not_in_secure_form_is_refused(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    agent = agent_of(guest, server, "agents-only")
    assert "not in secure form" in agent.k3s("agent", expect=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda token: re.sub("K10.{64}", f"K10{'0' * 64}", token), "does not match the Cluster CA"),
        (lambda token: token.replace("agents-only", "guessed"), "the token is refused"),
    ],
)
def test_an_agent_with_another_token_is_not_let_in_and_tries_again(
    guest: Callable[[str, int], Guest], change: Callable[[str], str], message: str
) -> None:
    server = server_of(guest)
    agent = agent_of(guest, server, change((server.server / "agent-token").read_text()))
    said_by_agent(agent, message)
    assert "lab-worker-1" not in nodes(server)


@pytest.mark.parametrize(
    "deleted",
    [
        ("delete", "node", "lab-worker-1", "--ignore-not-found"),
        ("-n", "kube-system", "delete", "secret", "--ignore-not-found", "lab-worker-1.node-password.k3s"),
    ],
)
def test_a_name_belongs_to_the_password_that_came_with_it_until_that_is_deleted(
    guest: Callable[[str, int], Guest], deleted: tuple[str, ...]
) -> None:
    server = server_of(guest)
    token = (server.server / "agent-token").read_text()
    agent = agent_of(guest, server, token)
    said_by_agent(agent, "joined 127.0.0.1")
    agent.stop()
    (agent.root / "etc/rancher/node/password").write_text("of a machine made anew\n")
    said_by_agent(agent, "Node password rejected")
    agent.stop()
    server.k3s("kubectl", *deleted)
    said_by_agent(agent, "joined 127.0.0.1")
    assert "lab-worker-1" in nodes(server)


def test_a_restart_keeps_authority_and_nodes(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    before = (server.server / "agent-token").read_text()
    server.k3s(
        "kubectl", "annotate", "node", "lab-control-plane-1", "zave/upgrading=v1.36.5+k3s1", "--overwrite"
    )
    server.k3s("kubectl", "drain", "lab-control-plane-1", "--ignore-daemonsets", "--timeout=60s")
    server.stop()
    server.start("server")
    assert (server.server / "agent-token").read_text() == before
    node = nodes(server)["lab-control-plane-1"]
    assert node["spec"] == {"unschedulable": True}
    assert '"zave/upgrading": "v1.36.5+k3s1"' in json.dumps(node)

    server.k3s("kubectl", "uncordon", "lab-control-plane-1")
    server.k3s("kubectl", "annotate", "node", "lab-control-plane-1", "zave/upgrading-")
    node = nodes(server)["lab-control-plane-1"]
    assert node["spec"] == {}
    assert "zave/upgrading" not in json.dumps(node)


def test_a_snapshot_holds_the_nodes(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    assert "saved" in server.k3s("etcd-snapshot", "save", "--name", "zave")
    (snapshot,) = (server.server / "db/snapshots").glob("zave-lab-control-plane-1-*")
    assert b"lab-control-plane-1" in snapshot.read_bytes()
    assert snapshot.stat().st_mode & 0o777 == 0o600


def test_a_token_that_others_can_read_is_refused(guest: Callable[[str, int], Guest]) -> None:
    server = server_of(guest)
    agent = agent_of(guest, server, (server.server / "agent-token").read_text())
    (agent.root / "etc/rancher/k3s/token").chmod(0o644)
    assert "can be read by others" in agent.k3s("agent", expect=1)
