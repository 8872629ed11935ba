"""A libvirt host for the home lab's tests, seen by zave, Terraform and virsh as `qemu:///system`.

A spec may name no socket, so zave runs in the mount namespace of the test's own libvirtd, where the
ordinary socket is that one's. Guests are emulated: /dev/kvm is hidden there. That is also what makes a
machine bearable whose /dev/kvm is there and dead: libvirt 9 takes its knowledge of QEMU for outdated
as long as it sees one, and asks QEMU again, for a minute and more, at each definition of a domain.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.libvirtd import Libvirtd, libvirtd

# that libvirtd has process numbers of its own, and /proc shows those: programs of this side need theirs
_OWN_PROCESSES = ("unshare", "--mount", "sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh")


@dataclass(frozen=True)
class LabHost:
    """A libvirtd and the way to run programs that take it for this machine's own.

    `uri` reaches it from the test, `folder` is that of the pool `pool`. `namespace` leads into the mounts
    of its libvirtd; nothing where that is the system's.
    """

    uri: str
    pool: str
    folder: Path
    namespace: tuple[str, ...]

    def inside(self, argv: Sequence[str], *, folder: Path) -> list[str]:
        """The argument list that runs `argv` in `folder`, where `qemu:///system` is this host."""
        into = [*self.namespace, *_OWN_PROCESSES] if self.namespace else []
        return [*into, "env", "-C", str(folder), *argv]

    def mounts(self, *arguments: str) -> None:
        """Mount or unmount something where the libvirtd sees it."""
        subprocess.run([*self.namespace, *arguments], check=True, capture_output=True, timeout=60)

    def virsh(self, *arguments: str) -> str:
        """What virsh says. Raises CalledProcessError when it fails."""
        ran = subprocess.run(
            ["virsh", "-c", self.uri, *arguments], capture_output=True, text=True, check=True, timeout=120
        )
        return ran.stdout

    def inventory(self) -> dict[str, set[str]]:
        """Everything that stands on the host, as virsh lists it."""
        pools = self._names("pool-list", "--all")
        volumes = {
            f"{pool}/{line.split()[0]}"
            for pool in self._names("pool-list")
            for line in self.virsh("vol-list", pool).splitlines()[2:]
            if line.strip()
        }
        return {
            "domains": self._names("list", "--all"),
            "networks": self._names("net-list", "--all"),
            "pools": pools,
            "volumes": volumes,
        }

    def _names(self, *listing: str) -> set[str]:
        return set(self.virsh(*listing, "--name").split())


@contextmanager
def lab_host() -> Iterator[LabHost]:
    """A host for one test or several; skips with the reason where there can be none."""
    with libvirtd() as started:
        started.needs_network()
        if not started.private:
            yield LabHost(started.uri, started.pool, started.folder, ())
            return
        prefix = ("nsenter", "--mount", "--target", str(_keeper(started)), "--")
        base = started.folder.parent
        # inside, this is /run/libvirt, where clients look
        (base / "places/run/libvirt/libvirt-sock").symlink_to(base / "run-socket/libvirt-sock")
        host = LabHost(started.uri, started.pool, started.folder, prefix)
        _hide_kvm(host, base)
        yield host


def _hide_kvm(host: LabHost, base: Path) -> None:
    if not Path("/dev/kvm").exists():
        return
    # a plain file that nobody may write, root included: libvirt sees that KVM cannot be used
    nothing = base / "no-kvm"
    nothing.touch(mode=0o400)
    host.mounts("mount", "--bind", str(nothing), "/dev/kvm")
    host.mounts("mount", "-o", "remount,bind,ro", "/dev/kvm")


def _keeper(started: Libvirtd) -> int:
    """The child of this process that holds the libvirtd's namespaces open."""
    base = str(started.folder.parent).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # gone meanwhile
        if parent == os.getpid() and base in argv:
            return int(entry.name)
    raise AssertionError("the libvirtd of this test has no process")
