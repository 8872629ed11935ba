"""Whether a host has room for a home lab: asked by `plan`, `up` and `doctor` before anything is created."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zave.errors import PreconditionError
from zave.gitops.capacity import too_small
from zave.lifecycle.place import Place
from zave.platforms.libvirt_values import NodePlan, nodes_of
from zave.ports import Capacity, Hypervisor, Item
from zave.spec.units import GIB, format_size

if TYPE_CHECKING:
    from zave.spec import AwsSpec, LibvirtSpec

# virtual processors to one real one, in all: ours, not measured. Nodes idle most of the time; beyond
# this, etcd misses its heartbeats (100 ms, etcd's tuning guide) whenever several of them work at once
_OVERCOMMIT = 4
# bytes that the base volume takes: an ordinary cloud image is 2 to 4 GiB (zave/spec/libvirt.py)
_BASE = 4 * GIB
# bytes that a node writes at its first boot: k3s, its images, packages. Assumed
_FIRST_WRITES = 1 * GIB


class NoRoomError(PreconditionError):
    """The host has too little of something; nothing was touched."""


@dataclass(frozen=True)
class Shortage:
    """What the host has too little of. `refused`: it cannot work; else it may. `key` is what to change."""

    what: str
    key: str
    fix: str
    refused: bool

    def document(self) -> dict[str, Any]:
        """As `zave/plan/v1` has it."""
        return {"what": self.what, "key": self.key, "fix": self.fix, "refused": self.refused}


def shortages(spec: "LibvirtSpec", *, instance: str, hypervisor: Hypervisor) -> list[Shortage]:
    """What the host lacks for what the spec wants beyond what the instance has already."""
    wanted = nodes_of(spec, instance)
    capacity = hypervisor.capacity(pool=spec.libvirt.pool)
    items = hypervisor.items()
    return [
        *_memory(wanted, capacity, items),
        *_cores(wanted, capacity),
        *_space(wanted, capacity, items, pool=spec.libvirt.pool, base=f"zave-{instance}-base-"),
    ]


def shortages_of(place: Place) -> list[Shortage]:
    """The same for an instance's place; nothing where the cloud has the machines."""
    hypervisor = place.site.tools.hypervisor
    if hypervisor is None or place.spec.platform != "libvirt-k3s":
        return []
    return shortages(place.spec, instance=place.instance, hypervisor=hypervisor)


def require_room(found: Sequence[Shortage]) -> None:
    """Raise NoRoomError (exit 5), naming each, when something is short that cannot work."""
    refused = [shortage for shortage in found if shortage.refused]
    if refused:
        raise NoRoomError(
            "the host has no room for this",
            details="\n".join(shortage.what for shortage in refused),
            where=", ".join(dict.fromkeys(shortage.key for shortage in refused)),
            resolution="; or ".join(dict.fromkeys(shortage.fix for shortage in refused)),
        )


def require_large_nodes(spec: "LibvirtSpec | AwsSpec") -> None:
    """Raise NoRoomError (exit 5), saying what is needed, when the nodes are too small for their profile."""
    found = too_small(spec)
    if found is not None:
        raise NoRoomError(
            f"the nodes are too small for Big Bang: {found.has} in all",
            details=f"with what gitops.bigbang names it wants {found.wants} at least",
            where=found.key,
            resolution=found.fix,
        )


def _memory(wanted: Sequence[NodePlan], capacity: Capacity, items: Sequence[Item]) -> Iterator[Shortage]:
    """Strict: what the machines of a home lab touch they keep, and a host that swaps serves nobody."""
    running = {
        item.name: _number(item.attributes, "memory")
        for item in items
        if item.type == "libvirt_domain" and item.attributes.get("running") == "yes"
    }
    # a machine that runs has its share already
    more = sum(max(0, node.memory - running.get(f"zave-{node.name}", 0)) for node in wanted)
    if more > capacity.memory_free:
        yield Shortage(
            f"memory: {_size(more)} more is wanted, {_size(capacity.memory_free)} is free",
            "nodes.*.memory",
            "make nodes.control-plane.memory and nodes.worker.memory smaller, or nodes.worker.count",
            refused=True,
        )


def _cores(wanted: Sequence[NodePlan], capacity: Capacity) -> Iterator[Shortage]:
    """Told, never refused: processors are shared, and who waits still works."""
    most, total = max(node.vcpu for node in wanted), sum(node.vcpu for node in wanted)
    cores = capacity.cores
    if most > cores:
        what = f"processors: a machine with {most} is slower on a host with {cores} than one with {cores}"
        yield Shortage(what, "nodes.*.vcpu", f"set nodes.*.vcpu to {cores} or less", refused=False)
    elif total > _OVERCOMMIT * cores:
        what = f"processors: {total} virtual ones share {cores}, more than {_OVERCOMMIT} to one"
        yield Shortage(what, "nodes.*.vcpu", "make nodes.*.vcpu smaller", refused=False)


def _space(
    wanted: Sequence[NodePlan], capacity: Capacity, items: Sequence[Item], *, pool: str, base: str
) -> Iterator[Shortage]:
    """Disks grow as they are written: refused is only what cannot even begin."""
    volumes = [item.name for item in items if item.type == "libvirt_volume"]
    new = [n for n in wanted if not any(name.startswith(f"zave-{n.name}-") for name in volumes)]
    if not new:
        return
    first = len(new) * _FIRST_WRITES
    if not any(name.startswith(base) for name in volumes):
        first += _BASE
    grown = sum(node.disk for node in new)
    free = capacity.pool_free
    if first > free:
        yield Shortage(
            f"pool {pool}: {_size(first)} is needed to begin with, {_size(free)} is free",
            "libvirt.pool",
            "make room there, or name another pool in libvirt.pool",
            refused=True,
        )
    elif grown > free:
        yield Shortage(
            f"pool {pool}: the disks can grow to {_size(grown)}, {_size(free)} is free",
            "nodes.*.disk",
            "make nodes.*.disk smaller, or watch the pool: a full one stops the machines",
            refused=False,
        )


def _number(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name, "")
    return int(text) if text.isdecimal() else 0


def _size(size: int) -> str:
    return format_size(size) if size % GIB == 0 else f"{size / GIB:.1f}GiB"
