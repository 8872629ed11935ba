"""The Protocols that adapters implement; `zave/cli/context.py` alone chooses adapters.

A rehearsal and a real run differ in these adapters and in nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from zave.clock import Clock
from zave.ports.machines import Console

__all__ = [
    "PENDING",
    "Artifact",
    "Capacity",
    "Clock",
    "Cluster",
    "ImageBuilder",
    "ImageRequest",
    "Inventory",
    "Item",
    "Leftover",
    "Node",
    "Outcome",
    "Request",
    "Runner",
]


# programs


@dataclass(frozen=True)
class Request:
    """One program to run: an argument list, never a shell line.

    `environment` is the child's whole environment. The child writes stdout to `log` and stderr to
    `errors` (the same file when None), both appended to, so that it survives zave. `timeout` and
    `interrupt_grace` are in seconds. `secrets` are values that must never be shown. `input` is what
    the child reads on stdin: bytes, which touch no disk, or a file; nothing when None.
    """

    argv: tuple[str, ...]
    cwd: Path
    log: Path
    errors: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    interrupt_grace: float = 60.0
    survivors: Path | None = None
    secrets: frozenset[str] = frozenset()
    input: bytes | Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Outcome:
    """How a program ended. `start` is the offset in `log` at which this run's output begins."""

    exit_code: int
    seconds: float
    start: int
    timed_out: bool = False
    interrupted: bool = False


class Runner(Protocol):
    """Starts programs. The only real one is `zave.process.ProcessRunner`."""

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        """Run to the end; `on_line` gets each line of `log` as decoded, bounded text."""
        ...


# what exists


PENDING = "pending-deletion"
"""The state of what goes by itself later, such as a KMS key: 7 to 30 days (AWS KMS user guide)."""


@dataclass(frozen=True)
class Item:
    """One thing that exists on a platform, seen without Terraform.

    `type` is the Terraform resource type that makes such a thing, `id` what the platform calls it,
    `import_id` what Terraform's import wants (None: cannot be imported). `owner` is the instance that
    the platform's own marks name (a tag, the network or cluster that it belongs to); `standing`
    parts outlive instances by design. `created_at` is RFC 3339 where the platform tells it.
    """

    type: str
    id: str
    name: str
    state: str = "present"
    import_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    standing: bool = False
    created_at: str | None = None


class Inventory(Protocol):
    """What exists, independently of Terraform's state: the word that decides after a destroy."""

    @property
    def source(self) -> str:
        """A name for receipts, such as `libvirt qemu:///system` or `simulated libvirt`."""
        ...

    @property
    def types(self) -> frozenset[str]:
        """The resource types that `items` can show; what else Terraform makes leaves no trace here."""
        ...

    def items(self) -> Sequence[Item]:
        """Everything on the platform that zave's types can make, whoever made it."""
        ...

    def delete(self, item: Item) -> None:
        """Delete `item`. Raises StepFailedError when the platform refuses. Gone already is fine."""
        ...

    def how_to_delete(self, item: Item) -> str:
        """One command line with which a person can delete `item`."""
        ...


@dataclass(frozen=True)
class Capacity:
    """What a hypervisor can still take: bytes and cores; `acceleration` is `kvm` or `qemu`."""

    memory_free: int
    cores: int
    pool_free: int
    acceleration: Literal["kvm", "qemu"]


class Hypervisor(Inventory, Console, Protocol):
    """A libvirt host."""

    def capacity(self, *, pool: str) -> Capacity:
        """Free memory, cores and space in `pool`."""
        ...

    def reaches(self, network: str) -> bool:
        """Whether this machine has a way to the addresses of `network` (CIDR), which is on the host."""
        ...

    def start(self, name: str) -> None:
        """Start the machine `name`, which is off. Running already is fine.

        Raises StepFailedError when it is not there or does not start.
        """
        ...


# images


@dataclass(frozen=True)
class ImageRequest:
    """Which image is wanted.

    `source` is `cloud` (the vendor's) or `packer` (built); `base` names a var file of the image;
    `fingerprint` covers every file that goes into it; which bytes it is built on, `images.lock` pins.
    """

    source: Literal["cloud", "packer"]
    base: str
    image: str
    builder: Literal["qemu", "amazon-ebs"]
    fingerprint: str


@dataclass(frozen=True)
class Artifact:
    """An image that can be booted: `location` is a path or an AMI id, `checksum` is `sha256:...`."""

    name: str
    location: str
    checksum: str
    fingerprint: str
    size: int
    built_at: str


@dataclass(frozen=True)
class Leftover:
    """What a killed build or a full disk left: no image, and never one; `why` says so in words.

    `location` is a path or an AMI id, `size` in bytes, `since` RFC 3339.
    """

    name: str
    location: str
    size: int
    since: str
    why: str


class ImageBuilder(Protocol):
    """Makes and finds images."""

    def find(self, request: ImageRequest) -> Artifact | None:
        """The image with this fingerprint, if it is there and intact."""
        ...

    def build(self, request: ImageRequest, *, say: Callable[[str, float | None], None]) -> Artifact:
        """Build or fetch it; `say(text, fraction)` tells of progress."""
        ...

    def list(self) -> Sequence[Artifact]:
        """All images of zave's, newest first."""
        ...

    def remove(self, artifact: Artifact) -> None:
        """Delete one image; with an AMI its snapshots. Gone already is fine."""
        ...

    def leftovers(self) -> Sequence[Leftover]:
        """What takes room or costs money, is no image, and is worked on by nobody."""
        ...

    def discard(self, leftover: Leftover) -> None:
        """Delete one, unless it has become an image meanwhile. Gone already is fine."""
        ...

    def pin(self, base: str, *, source: Path | None, say: Callable[[str, float | None], None]) -> None:
        """Pin `base` anew: the file `source`, or what its vendor publishes now. Builds nothing."""
        ...


# the cluster


@dataclass(frozen=True)
class Node:
    """A Kubernetes node; `state` is `Ready`, `NotReady`, `Absent` or `Unknown` (nobody could be asked)."""

    name: str
    role: Literal["control-plane", "worker"]
    address: str
    state: str


class Cluster(Protocol):
    """A Kubernetes cluster as zave sees it; what Flux does in it is the port `zave.ports.flux.Flux`."""

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        """The text of a kubeconfig for the cluster. `outputs` are Terraform's."""
        ...

    def nodes(self, *, instance: str) -> Sequence[Node]:
        """The nodes as the API server (or what stands for it) reports them."""
        ...
