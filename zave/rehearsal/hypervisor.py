"""The rehearsed libvirt host: the same inventory that libvirt would show, out of the world."""

import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from zave.errors import StepFailedError
from zave.ports import Capacity, Item
from zave.rehearsal import leases
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.things import Thing, WorldError
from zave.rehearsal.values import first
from zave.rehearsal.world import World

TYPES = frozenset({"libvirt_domain", "libvirt_volume", "libvirt_network", "libvirt_pool"})

# the host that a rehearsal stands on, unless the world's document host/default says otherwise:
# assumed, roomy enough for the home lab's 3 x 8 GiB and 3 x 50 GiB with as much again to spare
_HOST = {"memory": 64 << 30, "cores": 16, "pool": 500 << 30}

# libvirt's units: decimal with a B at the end, binary without or with iB
_UNITS = {"b": 1, "bytes": 1}
_UNITS |= {
    name: size
    for power, letter in enumerate("kmgtpe", start=1)
    for name, size in (
        (letter, 1 << 10 * power),
        (f"{letter}ib", 1 << 10 * power),
        (f"{letter}b", 10 ** (3 * power)),
    )
}


class SimulatedHypervisor:
    """Implements `zave.ports.Hypervisor` over a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def source(self) -> str:
        """How receipts name it."""
        return "simulated libvirt"

    @property
    def types(self) -> frozenset[str]:
        """What a libvirt host has. A cloud-init ISO is a file on Terraform's machine."""
        return TYPES

    def items(self) -> Sequence[Item]:
        """Everything on the simulated host, also what a reported deletion left behind."""
        return [_item(thing, self._world) for thing in self._things()]

    def delete(self, item: Item) -> None:
        """Delete at once. Raises StepFailedError when a fault has the host refuse."""
        for thing in self._things():
            if (thing.type, thing.name, _id(thing)) != (item.type, item.name, item.id):
                continue
            try:
                self._world.remove(thing.key)
            except WorldError as error:
                raise StepFailedError(
                    f"the host refused to delete {item.type} {item.name}",
                    details="\n".join(filter(None, (error.summary, error.detail))),
                    where=self.source,
                    resolution=f"clear the fault (zave rehearse faults), or: {self.how_to_delete(item)}",
                ) from error

    def how_to_delete(self, item: Item) -> str:
        """The virsh command line for it."""
        name = shlex.quote(item.name)
        if item.type == "libvirt_domain":
            # `;`: a machine that is off cannot be destroyed, and is undefined all the same
            return f"virsh destroy {name}; virsh undefine {name} --nvram"
        if item.type == "libvirt_volume":
            return f"virsh vol-delete --pool {shlex.quote(item.attributes.get('pool', 'default'))} {name}"
        kind = "net" if item.type == "libvirt_network" else "pool"
        return f"virsh {kind}-destroy {name}; virsh {kind}-undefine {name}"

    def console(self, name: str, *, seconds: float) -> Iterator[bytes]:
        """What a machine would have written since it was made; nothing is written while one waits."""
        return iter(_console_of(self._domain(name), self._world))

    def reaches(self, network: str) -> bool:
        """Always: nothing is spoken to in a rehearsal."""
        del network
        return True

    def start(self, name: str) -> None:
        """Start a machine that is off; it takes the time of a boot."""
        thing = self._domain(name)
        if _running(thing):
            return
        with self._world.transaction() as ledger:
            ledger.change(thing, {**thing.attributes, "running": True}, verb="start")
        self._world.clock.sleep(seconds_for("libvirt_domain", "start", name))

    def capacity(self, *, pool: str) -> Capacity:
        """The host's size less what running machines and the volumes of `pool` take."""
        host = {**_HOST, **(self._world.get_document("host", "default") or {})}
        things = self._things()
        memory = sum(_memory(t.attributes) for t in things if t.type == "libvirt_domain" and _running(t))
        volumes = (t.attributes for t in things if t.type == "libvirt_volume")
        stored = sum(_capacity(volume) for volume in volumes if volume.get("pool") == pool)
        return Capacity(
            memory_free=max(0, int(host["memory"]) - memory),
            cores=int(host["cores"]),
            pool_free=max(0, int(host["pool"]) - stored),
            acceleration="kvm",
        )

    def _domain(self, name: str) -> Thing:
        for thing in self._things():
            if (thing.type, thing.name) == ("libvirt_domain", name):
                return thing
        raise StepFailedError(
            f"there is no machine {name}",
            where=self.source,
            resolution="zave sweep --rehearse lists what there is",
        )

    def _things(self) -> list[Thing]:
        things = self._world.things(provider="libvirt")
        return [thing for thing in things if thing.type in TYPES and not thing.local]


def address_of(thing: Thing, world: World) -> str:
    """The first address that a domain has leased, or nothing."""
    return str(first(leases.interfaces(thing.attributes, world), "*.addrs.*.addr") or "")


def _console_of(thing: Thing, world: World) -> list[bytes]:
    host = thing.name.removeprefix("zave-")
    lines = [
        f"[    0.000000] simulated by a rehearsal: the {thing.name}, made {thing.created_at:%FT%TZ}",
    ]
    if thing.state == "present":
        address = address_of(thing, world)
        lines += [
            f"[    9.100000] {host}: address {address or 'none: the machine is off'}",
            f"[   17.000000] {host}: no host key is shown: nothing listens there",
        ]
    if _running(thing):
        lines += ["", f"{host} login: "]
    return [f"{line}\r\n".encode() for line in lines]


def _item(thing: Thing, world: World) -> Item:
    identity = _id(thing)
    return Item(
        type=thing.type,
        id=identity,
        name=thing.name,
        state=_state(thing),
        attributes=_shown(thing, world),
    )


def _id(thing: Thing) -> str:
    found = thing.attributes.get("uuid" if thing.type == "libvirt_domain" else "id")
    return str(found) if found else thing.key


def _state(thing: Thing) -> str:
    if thing.state == "present" and thing.type == "libvirt_domain" and not _running(thing):
        return "shut off"
    return thing.state


def _running(thing: Thing) -> bool:
    return thing.attributes.get("running") is True


def _shown(thing: Thing, world: World) -> dict[str, str]:
    attributes = thing.attributes
    if thing.type == "libvirt_domain":
        shown = {
            "address": address_of(thing, world),
            "memory": str(_memory(attributes)),
            "vcpu": str(attributes.get("vcpu") or ""),
            "running": "yes" if _running(thing) else "no",
        }
    elif thing.type == "libvirt_volume":
        shown = {
            "pool": str(attributes.get("pool") or ""),
            "path": str(attributes.get("path") or ""),
            "capacity": str(_capacity(attributes)),
        }
    else:
        shown = {}
    if thing.left_behind:
        shown["left_behind"] = "yes"
    return {name: text for name, text in shown.items() if text}


def _memory(domain: dict[str, Any]) -> int:
    """Bytes. libvirt counts KiB unless a unit is given."""
    return _bytes(domain.get("memory"), domain.get("memory_unit") or "KiB")


def _capacity(volume: dict[str, Any]) -> int:
    """Bytes. libvirt counts bytes unless a unit is given."""
    return _bytes(volume.get("capacity"), volume.get("capacity_unit") or "bytes")


def _bytes(number: object, unit: str) -> int:
    # what cannot be read counts nothing: the world takes whatever a module was allowed to write
    return int(number) * _UNITS.get(unit.lower(), 1) if isinstance(number, int | float) else 0
