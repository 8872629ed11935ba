"""The machines of a home lab, seen from inside: what is done over SSH once they have booted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Say = Callable[[str, float | None], None]
"""Tells people what happens now, and how far it is (0 to 1) where that is known."""

Configuration = Mapping[str, Mapping[str, str]]
"""k3s' files below /etc/rancher/k3s: what is in them, by the machine's name and the file's. No secrets."""


@dataclass(frozen=True)
class Machine:
    """One machine of an instance. `name` is that of its Kubernetes node."""

    name: str
    role: Literal["control-plane", "worker"]
    address: str

    @property
    def domain(self) -> str:
        """The name of its domain on the host (terraform-modules/k3s-cluster/nodes.tf)."""
        return f"zave-{self.name}"


@dataclass(frozen=True)
class Release:
    """A pinned release of k3s.

    `version` is a whole release such as `v1.35.9+k3s1`, `sha256` the hexadecimal digest of its amd64
    binary. `origin` says where machines take it from: the vendor, a folder on this machine that zave
    copies from, or a URL; `location` is that folder or URL, None for the vendor. `images_sha256` is
    that of the image archive `k3s-airgap-images-amd64.tar.zst`, None where there is none.
    """

    version: str
    sha256: str
    origin: Literal["vendor", "folder", "url"]
    location: str | None = None
    images_sha256: str | None = None


class Artifacts(Protocol):
    """Where a machine without internet finds what others download: a folder or a URL, neither or one."""

    @property
    def folder(self) -> str | None:
        """A folder on this machine."""
        ...

    @property
    def url(self) -> str | None:
        """An https URL with the same files below it."""
        ...


class Releases(Protocol):
    """Finds releases of k3s and pins them."""

    def resolve(self, *, version: str, artifacts: Artifacts) -> Release:
        """The release that `version` (a channel such as `v1.35`, or a release) means here.

        The same answer again and again once it was pinned. Raises StepFailedError or
        PreconditionError when it cannot be found or its checksum is not the pinned one.
        """
        ...


@dataclass(frozen=True)
class MachineState:
    """What a machine says of itself.

    `release` is the k3s that it has, None where there is none; `running` whether its unit is active.
    `problem` says why it could not be asked; the rest is then unknown.
    """

    name: str
    release: str | None = None
    running: bool = False
    problem: str | None = None


class Console(Protocol):
    """Reads what machines write to their serial consoles; a hypervisor offers it."""

    def console(self, name: str, *, seconds: float) -> Iterator[bytes]:
        """What the machine `name` has written, as far as it was kept, then what it writes now.

        Ends after `seconds`. Raises StepFailedError when the machine is not there.
        """
        ...


class Machines(Protocol):
    """The machines of one instance, from inside.

    Every connection is to a host key that the machine's own console told; none is taken on trust.
    """

    def join(
        self,
        machines: Sequence[Machine],
        *,
        release: Release,
        say: Say,
        configuration: Configuration | None = None,
    ) -> None:
        """Bring every machine into the cluster, running exactly `release`. Safe to repeat.

        Pins host keys, waits for cloud-init, hands out the tokens (control plane first, agents theirs).
        Machines that run an older release, or have another `configuration` (None: leave it), are changed
        one at a time, drained, control plane first, after a snapshot. A first server with SQLite is
        converted to etcd where its configuration says so. Raises StepFailedError naming the machine, what
        it said and what to do.
        """
        ...

    def leave(self, going: Sequence[Machine], staying: Sequence[Machine], *, say: Say) -> None:
        """Have the pods leave the workers `going`, which are about to be taken away. Safe to repeat.

        Tells, and goes on, where nobody can be asked. Raises StepFailedError when pods may not leave.
        """
        ...

    def look(self, machines: Sequence[Machine]) -> Sequence[MachineState]:
        """Ask all of them at once; takes 15 s at most, whatever their state."""
        ...

    def snapshot(self, machines: Sequence[Machine], destination: Path) -> None:
        """Copy the cluster's datastore and its keys into the new file `destination`, mode 0600."""
        ...

    def is_of_former(self, machines: Sequence[Machine], source: Path) -> bool:
        """Whether a snapshot is of an earlier control plane of this instance, which it can bring back.

        Raises PreconditionError for what cannot be restored here, one of another instance among it.
        """
        ...

    def restore(
        self, machines: Sequence[Machine], source: Path, *, say: Say, take_over: bool = False
    ) -> None:
        """Put the datastore of a snapshot back, and have all machines follow it.

        One of an earlier control plane only with `take_over`: the present one becomes that one again.
        """
        ...

    def shell(self, machine: Machine, command: Sequence[str]) -> Sequence[str]:
        """The argument list that opens a shell on the machine, or runs `command` there."""
        ...

    def forget(self, machines: Sequence[Machine]) -> None:
        """Drop the pinned host keys of machines that are gone."""
        ...
