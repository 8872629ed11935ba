"""Whether the nodes of a spec are large enough for its profile."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

_GIB = 2**30


@dataclass(frozen=True)
class Room:
    """Cores, and bytes of memory."""

    cores: int
    memory: int

    def __add__(self, other: "Room") -> "Room":
        return Room(self.cores + other.cores, self.memory + other.memory)

    def __str__(self) -> str:
        return f"{self.cores} vCPU and {self.memory / 10**9:.4g} GB"


@dataclass(frozen=True)
class TooSmall:
    """What the nodes have and what the profile wants; `key` is what to change, `fix` how."""

    has: Room
    wants: Room
    key: str
    fix: str


# the quick start of Big Bang 3.30: 8 CPUs and 32 GB (its documentation, read 2026-11-23)
_BIGBANG = Room(8, 32 * 10**9)
# what GitLab's chart is intended to fit (docs.gitlab.com/charts/installation/cloud, read 2026-11-23)
_GITLAB = Room(8, 30 * 10**9)

KARPENTER = Room(8, 32 * _GIB)
"""What Karpenter may add: `limits` in templates/gitops/infrastructure/configs/karpenter/nodes.yaml."""

# EC2's naming: a large has 2 vCPU, an xlarge 4, an Nxlarge 4 N; the family's letter says how much memory
# goes with each (c 2 GiB, m and large t 4, r 8: AWS's "Amazon EC2 instance types")
_TYPE = re.compile(r"(?P<family>[cmrt])[0-9][a-z0-9-]*\.(?:(?P<large>large|medium)|(?P<many>[0-9]*)xlarge)")
_PER_CORE = {"c": 2 * _GIB, "m": 4 * _GIB, "r": 8 * _GIB, "t": 4 * _GIB}
# a t.medium has two, with half the memory; that of other families one
_BURSTABLE_MEDIUM, _MEDIUM_CORES = Room(2, 4 * _GIB), 1


def too_small(spec: "LibvirtSpec | AwsSpec") -> TooSmall | None:
    """What is missing where the nodes are too small for the profile; None where they are not.

    On AWS these are the nodes that are there from the start and what Karpenter may add; sizes of
    instance types that are not known are nobody's to judge.
    """
    if spec.gitops.profile != "bigbang":
        return None
    wants = _BIGBANG + _GITLAB if "gitlab" in spec.gitops.bigbang else _BIGBANG
    has = _lab(spec) if spec.platform == "libvirt-k3s" else _demo(spec)
    if has is None or (has.cores >= wants.cores and has.memory >= wants.memory):
        return None
    if spec.platform == "libvirt-k3s":
        # a third of the whole for each of three, as its size would be written
        memory = -(-wants.memory // (3 * 4 * _GIB)) * 4
        fix = f"give nodes.worker more ({-(-wants.cores // 3)} vCPU and {memory}GiB for each of three do)"
        return TooSmall(has, wants, "nodes", f"{fix}, or set gitops.profile: slim")
    fix = "raise eks.nodes.minimum, name larger eks.nodes.instance_types"
    karpenter = "" if spec.eks.karpenter else ", set eks.karpenter: true"
    return TooSmall(has, wants, "eks.nodes", f"{fix}{karpenter}, or set gitops.profile: slim")


def instance_room(instance_type: str) -> Room | None:
    """Cores and memory of an EC2 instance type; None for one that its name does not tell."""
    match = _TYPE.fullmatch(instance_type)
    if match is None:
        return None
    family = match["family"]
    if match["large"] == "medium" and family == "t":
        return _BURSTABLE_MEDIUM
    cores = {"large": 2, "medium": _MEDIUM_CORES}.get(match["large"] or "", 4 * int(match["many"] or 1))
    return Room(cores, cores * _PER_CORE[family])


def _lab(spec: "LibvirtSpec") -> Room:
    groups = (spec.nodes.control_plane, spec.nodes.worker)
    return Room(sum(g.count * g.vcpu for g in groups), sum(g.count * g.memory for g in groups))


def _demo(spec: "AwsSpec") -> Room | None:
    """By the smallest of its instance types: which of them come is the market's to say."""
    rooms = [instance_room(each) for each in spec.eks.nodes.instance_types]
    known = [room for room in rooms if room is not None]
    if len(known) < len(rooms):
        return None
    nodes = spec.eks.nodes.minimum
    least = Room(min(room.cores for room in known), min(room.memory for room in known))
    started = Room(nodes * least.cores, nodes * least.memory)
    return started + KARPENTER if spec.eks.karpenter else started
