"""Machines that are folders behind real OpenSSH servers on loopback addresses."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from zave.k3s.lab import Limits
from zave.k3s.machines import Access, SshMachines
from zave.ports.machines import Machine
from zave.process import ProcessRunner

STANDIN = Path(__file__).with_name("standin.py")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PROGRAMS = ("sudo", "systemctl", "k3s", "journalctl", "zave-install-k3s")


class QuickClock:
    """Time that passes when it is waited for; real waiting is a moment, for the other side."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self._offset)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._offset += seconds
        time.sleep(0.01)


@dataclass
class Guest:
    """A machine: a folder, an sshd, and what its console says."""

    machine: Machine
    folder: Path
    cluster: Path
    port: int
    authorized: str
    configuration: str = ""
    console: bytes = b""
    process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        """As a machine is that has just ended its first boot."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("bin", "etc/rancher/k3s", "etc/zave", "run/cloud-init"):
            (self.folder / name).mkdir(parents=True)
        for name in PROGRAMS:
            (self.folder / "bin" / name).write_text(f"#!{sys.executable} -IS\n{STANDIN.read_text()}")
            (self.folder / "bin" / name).chmod(0o755)
        (self.folder / "address").write_text(self.machine.address)
        if self.machine.role == "control-plane":
            (self.folder / "server").touch()
        if self.configuration:
            (self.folder / "etc/rancher/k3s/config.yaml").write_text(self.configuration)
        self.first_boot('{"v1": {"datasource": "DataSourceNoCloud [seed=/dev/vdb]", "errors": []}}')
        self.new_host_key()
        self.console = self.told(self.public_key())

    def first_boot(self, result: str | None, *, ended: bool = True) -> None:
        """What cloud-init says of it, and whether its script came to its end."""
        file = self.folder / "run/cloud-init/result.json"
        file.unlink(missing_ok=True)
        marker = self.folder / "var/lib/zave/first-boot"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.unlink(missing_ok=True)
        if ended:
            marker.touch()
        if result is not None:
            file.write_text(result)

    def new_host_key(self) -> None:
        for suffix in ("", ".pub"):
            (self.folder / f"host_key{suffix}").unlink(missing_ok=True)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "host_key"], check=True
        )

    def public_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def told(self, key: str, *, node: str | None = None, boot: str = "0" * 36) -> bytes:
        """What the unit of the seed writes for a key, between other output."""
        script = """line="zave-host-key $1 $2 $3"
        printf '\\r\\n%s %s\\r\\n' "$line" "$(printf '%s' "$line" | sha256sum | cut -c 1-32)" """
        words = ["sh", "-c", script, "sh", node or self.machine.name, boot, key]
        said = subprocess.run(words, check=True, capture_output=True).stdout
        return b"[    1.2] Linux\r\nlogin: " + said + b"[    9.9] more\r\n"

    def start(self) -> None:
        (self.folder / "authorized_keys").write_text(self.authorized)
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress {self.machine.address}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            # the newest ones cost a tenth of a second of two processors, for each of a thousand connections
            "KexAlgorithms curve25519-sha256\n"
            # by SHLVL a bash takes itself for one inside another, and reads no start-up file of who runs this
            f"SetEnv SHLVL=1 PATH={self.folder}/bin:/usr/bin:/bin "
            f"GUEST={self.folder} CLUSTER={self.cluster}\n"
        )
        assert SSHD is not None
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log, stdout=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((self.machine.address, self.port), timeout=1).close()
                return
            except OSError:
                said = (self.folder / "sshd.log").read_text()
                assert self.process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def anew(self) -> None:
        """Made anew: another disk, other host keys, another first boot."""
        self.stop()
        self.make()
        self.start()

    def file(self, name: str) -> Path:
        return self.folder / name.lstrip("/")

    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@dataclass
class Host:
    """The hypervisor's console, a lab of guests, and zave's way into them."""

    guests: dict[str, Guest]
    folder: Path
    key: Path
    port: int
    runner: ProcessRunner = field(default_factory=ProcessRunner)
    clock: QuickClock = field(default_factory=QuickClock)
    said: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[Machine]:
        return [guest.machine for guest in self.guests.values()]

    @property
    def leader(self) -> Guest:
        return self.guests["lab-control-plane-1"]

    def console(self, name: str, *, seconds: float) -> Iterator[bytes]:
        yield self.guests[name.removeprefix("zave-")].console

    def machines(self, **limits: float) -> SshMachines:
        user = os.environ.get("USER") or "root"
        return SshMachines(
            instance="lab",
            folder=self.folder,
            access=Access(self.runner, keys=[self.key], user=user, port=self.port),
            console=self,
            clock=self.clock,
            limits=Limits(**{"boot": 60.0, "start": 60.0, "first_boot": 15.0, **limits}),
        )

    def say(self, text: str, _fraction: float | None) -> None:
        self.said.append(text)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """One control plane machine and a worker, booted, with k3s in none of them."""
    yield from _booted(tmp_path, monkeypatch, ("control-plane-1", "worker-1"))


@pytest.fixture
def large_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The same with two workers."""
    yield from _booted(tmp_path, monkeypatch, ("control-plane-1", "worker-1", "worker-2"))


@pytest.fixture
def etcd_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Three control plane machines and a worker, with the configuration of their seeds."""
    roles = ("control-plane-1", "control-plane-2", "control-plane-3", "worker-1")
    yield from _booted(tmp_path, monkeypatch, roles)


def _booted(folder: Path, monkeypatch: pytest.MonkeyPatch, roles: Sequence[str]) -> Iterator[Host]:
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("openssh-server and openssh-client are not installed")
    if os.geteuid() == 0:
        # where Debian's sshd separates its privileges; a system that never ran one lacks it
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("USER", _user())
    key = folder / "id_test"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    cluster, port, public = folder / "cluster", _free_port(), key.with_suffix(".pub")
    cluster.mkdir()
    guests = {}
    for number, name in enumerate(roles, start=11):
        role: Literal["control-plane", "worker"] = "control-plane" if "plane" in name else "worker"
        machine = Machine(f"lab-{name}", role, f"127.0.0.{number}")
        place = folder / "guests" / machine.name
        first = "control-plane-3" not in roles or name == "control-plane-1"
        told = 'server: "https://127.0.0.11:6443"' if not first or role == "worker" else "cluster-init: true"
        configuration = f"{told}\n" if "control-plane-3" in roles else ""
        guests[machine.name] = Guest(machine, place, cluster, port, public.read_text(), configuration)
    instance = folder / "instance"
    instance.mkdir(mode=0o700)
    try:
        for guest in guests.values():
            guest.make()
            guest.start()
        yield Host(guests, instance, public, port)
    finally:
        for guest in guests.values():
            guest.stop()


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
