"""Where the machines of a rehearsed cluster are: on the libvirt host, or in the AWS account."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from zave.ports import Node
from zave.rehearsal.flux_state import Held
from zave.rehearsal.hypervisor import address_of
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World

JOINED = "k3s"
"""The documents that say, for an instance, which machines (by key) joined its cluster, and with what."""


class Site(Protocol):
    """One platform's machines."""

    def control_plane(self, instance: str) -> Thing | None:
        """What serves the instance's API, if it stands."""
        ...

    def nodes(self, instance: str) -> Sequence[Node]:
        """The instance's nodes."""
        ...

    def joined_at(self, machine: Thing) -> float:
        """The virtual Unix time at which the API of a control plane answers."""
        ...

    def answers(self, machine: Thing) -> bool:
        """Whether the API of a control plane answers now."""
        ...

    def provide(
        self, ledger: Ledger, machine: Thing, *, claims: Sequence[Held], surge: int
    ) -> Sequence[Held]:
        """Make what a bootstrapped platform has outside its cluster, unless it is there; tell what holds it.

        `claims` are those of the tree, `surge` are nodes for more pods.
        """
        ...

    def let_go(self, machine: Thing, held: Held) -> None:
        """Delete what `held` holds outside the cluster."""
        ...


@dataclass(frozen=True)
class LabMachine:
    """A domain of an instance. `identity` changes when the domain, or its disk, is made anew."""

    name: str
    role: Literal["control-plane", "worker"]
    domain: Thing
    identity: str

    @property
    def runs(self) -> bool:
        """Whether it is there and switched on."""
        return _runs(self.domain)


class LibvirtSite:
    """The home lab: every machine is a domain, and nothing is outside the cluster."""

    def __init__(self, world: World) -> None:
        self._world = world

    def control_plane(self, instance: str) -> Thing | None:
        """The first of the instance's control planes that has joined."""
        joined = self.joined(instance)
        machines = self.machines(instance)
        there = (m.domain for m in machines if m.role == "control-plane" and m.identity in joined)
        return next(there, None)

    def nodes(self, instance: str) -> Sequence[Node]:
        """Every machine that has joined: Ready while it runs."""
        joined = self.joined(instance)
        return [
            Node(
                name=machine.name,
                role=machine.role,
                address=address_of(machine.domain, self._world),
                state="Ready" if machine.runs else "NotReady",
            )
            for machine in self.machines(instance)
            if machine.identity in joined
        ]

    def joined(self, instance: str) -> Mapping[str, Any]:
        """What is known of the machines in the instance's cluster, by their identities."""
        return self._world.get_document(JOINED, instance) or {}

    def joined_at(self, machine: Thing) -> float:
        """Always: a control plane answers from the moment at which it joined."""
        return machine.ready_at.timestamp()

    def answers(self, machine: Thing) -> bool:
        """Whether it runs: what `control_plane` found has joined."""
        return _runs(machine)

    def provide(
        self, ledger: Ledger, machine: Thing, *, claims: Sequence[Held], surge: int
    ) -> Sequence[Held]:
        """Nothing is made: Services are of the nodes, volumes are folders of theirs. Claims are claims."""
        return claims

    def let_go(self, machine: Thing, held: Held) -> None:
        """Nothing."""

    def machines(self, instance: str) -> list[LabMachine]:
        """The instance's machines, control planes first."""
        pattern = re.compile(rf"zave-({re.escape(instance)}-(?:(control-plane)|worker)-([0-9]{{1,6}}))")
        things = self._world.things(provider="libvirt")
        # a disk's name ends in what it was made from (terraform-modules/libvirt-vm/volumes.tf)
        disks = {t.name.rpartition("-")[0]: t.key for t in things if t.name.endswith(".qcow2")}
        found = []
        for thing in things:
            match = pattern.fullmatch(thing.name)
            if thing.type == "libvirt_domain" and match is not None:
                role: Literal["control-plane", "worker"] = "control-plane" if match[2] else "worker"
                identity = f"{thing.key} {disks.get(thing.name, '')}".strip()
                found.append((role, int(match[3]), LabMachine(match[1], role, thing, identity)))
        found.sort(key=lambda each: each[:2])
        return [machine for _, _, machine in found]


def _runs(machine: Thing) -> bool:
    return machine.state == "present" and machine.attributes.get("running") is True


def sites_of(world: World) -> Iterator[Site]:
    """The home lab's, then the account's, whose modules are imported only if somebody asks that far."""
    yield LibvirtSite(world)
    from zave.rehearsal.aws_site import AwsSite

    yield AwsSite(world)
