"""zave as a user runs it, in a project folder and with a state folder of the test's own."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.homelab.host import LabHost
from tests.e2e.homelab.root import MIRROR
from tests.system.libvirtd import free_subnet
from zave.clock import SystemClock
from zave.images.bases import Bases
from zave.images.cache import VendorCache
from zave.images.lock import FILE, ImagesLock
from zave.images.publisher import Publisher
from zave.tools.download import Web
from zave.tools.gpg import Gpgv

ENVIRONMENT = "e2e"
RELEASE = "v1.35.9+k3s1"
STANDIN = Path(__file__).with_name("standin_k3s.py")
# emulated machines on a busy host: minutes each
LONGEST = 3600.0


@dataclass(frozen=True)
class Ended:
    """How a zave ended: its events (or documents) and what it said."""

    code: int
    events: Sequence[Mapping[str, Any]]
    said: str

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event.get("event") == kind]


@dataclass(frozen=True)
class Driver:
    """Everything that one lab of a test has.

    `folder` is its project, with artifacts and keys beside it; `subnet` the first three bytes of its range.
    """

    host: LabHost
    folder: Path
    state: Path
    mirror: Path
    subnet: str

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each machine by the node's name, of three machines."""
        hosts = {"control-plane-1": 11, "worker-1": 21, "worker-2": 22}
        return {f"{ENVIRONMENT}-{name}": f"{self.subnet}.{number}" for name, number in hosts.items()}

    @property
    def kubeconfig(self) -> Path:
        return self.state / "instances" / ENVIRONMENT / "kubeconfig"

    def write(self, *, workers: int = 2, **sections: Any) -> None:
        """Write environment.yaml: one control plane and `workers`; `sections` replace whole sections."""
        size = {"vcpu": 1, "memory": "768MiB", "disk": "50GiB"}
        spec = {
            "platform": "libvirt-k3s",
            "image": {"source": "packer", "image": "k3s-base", "base": "debian-12"},
            "libvirt": self.libvirt(self.host.pool),
            "nodes": {"control-plane": {"count": 1, **size}, "worker": {"count": workers, **size}},
            "kubernetes": {"version": RELEASE},
            "ssh": {"keys": [str(self.folder / "key.pub")]},
            "gitops": {"profile": "none"},
            "artifacts": {"folder": str(self.folder / "artifacts")},
            **sections,
        }
        file = self.folder / "environments" / ENVIRONMENT / "environment.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(spec))  # JSON is YAML

    def libvirt(self, pool: str) -> dict[str, Any]:
        """The section `libvirt` of a spec with another pool."""
        network = {"name": f"zave-{ENVIRONMENT}", "cidr": f"{self.subnet}.0/24"}
        return {"pool": pool, "network": network}

    def adopt(self, base: str, image: Path) -> None:
        """Pin `image` as `base` in this project's images.lock, as `zave build-image --source` does."""

        def interrupted() -> bool:
            return False

        def unneeded() -> Gpgv:
            raise AssertionError("a file of one's own is not fetched")

        clock = SystemClock()
        publisher = Publisher(
            web=Web(clock=clock, interrupted=interrupted),
            gpgv=unneeded,
            keys=self.state / "images/keys",
            clock=clock,
            artifacts=None,
        )
        cache = VendorCache(self.state / "images/vendors", publisher, clock, interrupted)
        Bases(ImagesLock(self.folder / FILE), cache).adopt(base, image, say=lambda _text, _part: None)

    def argv(self, *arguments: str, at: LabHost | None = None) -> list[str]:
        """The argument list of zave; `at` another host than the lab's."""
        zave = str(Path(sys.executable).with_name("zave"))
        return (at or self.host).inside([zave, "--project", str(self.folder), *arguments], folder=self.folder)

    def environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**passed, "ZAVE_STATE_DIR": str(self.state), MIRROR: str(self.mirror), "NO_COLOR": "1"}

    def zave(self, *arguments: str, at: LabHost | None = None) -> Ended:
        """Run zave to its end, with `-o json`."""
        ran = subprocess.run(
            self.argv("-o", "json", *arguments, at=at),
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=LONGEST,
        )  # fmt: skip
        return Ended(ran.returncode, _documents(ran.stdout), ran.stdout + ran.stderr)

    @contextmanager
    def killed(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A zave that runs while the body does, and is then killed with everything it started."""
        with (self.folder / "killed.log").open("wb") as log:
            child = subprocess.Popen(
                self.argv("-o", "json", *arguments),
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield child
        finally:
            # Terraform and the like run in groups of their own
            for pid in [*_descendants(child.pid), child.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            child.wait()

    def on(self, node: str, *command: str) -> str:
        """What `command` prints on a machine, over SSH with the host key that zave pinned."""
        ran = subprocess.run(
            self.argv("ssh", ENVIRONMENT, node, "--", *command),
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=LONGEST,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def new_driver(host: LabHost, folder: Path, mirror: Path) -> Driver:
    """A project in `folder`/lab with a stand-in k3s as its artifacts, and a new SSH key."""
    lab = folder / "lab"
    (lab / "artifacts").mkdir(parents=True)
    (lab / "zave.toml").touch()
    shutil.copy(STANDIN, lab / "artifacts/k3s")
    digest = hashlib.sha256(STANDIN.read_bytes()).hexdigest()
    (lab / "artifacts/sha256sum-amd64.txt").write_text(f"{digest}  k3s\n")
    key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "e2e", "-f", str(lab / "key")]
    subprocess.run(key, check=True, capture_output=True, timeout=60)
    driver = Driver(host, lab, folder / "state", mirror, free_subnet())
    driver.state.mkdir(mode=0o700)
    driver.write()
    return driver


def _documents(text: str) -> list[Mapping[str, Any]]:
    """A document, or one event a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def _descendants(pid: int) -> list[int]:
    """Everything that `pid` started, whatever group it is in."""
    found: list[int] = []
    for parent in [pid]:
        try:
            children = [
                int(child)
                for task in Path(f"/proc/{parent}/task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found
