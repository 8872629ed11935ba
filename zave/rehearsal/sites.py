"""Where the machines of a rehearsed cluster are: on the libvirt host, or in the AWS account."""

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from zave.ports import Node
from zave.rehearsal import aws_parts, aws_services
from zave.rehearsal.aws_family import INSTANCE, cluster_of, tags_of
from zave.rehearsal.clock import microseconds
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.gate import Gate
from zave.rehearsal.hypervisor import address_of
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World


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

    def provide(self, ledger: Ledger, machine: Thing, *, surge: int) -> None:
        """Make what a bootstrapped platform has outside its cluster; `surge` are nodes for more pods."""
        ...

    def clear(self, machine: Thing) -> None:
        """Delete that, and wait until it is gone."""
        ...


class LibvirtSite:
    """The home lab: every machine is a domain, and nothing is outside the cluster."""

    def __init__(self, world: World) -> None:
        self._world = world

    def control_plane(self, instance: str) -> Thing | None:
        """The first of the instance's control planes."""
        return next((thing for _, role, thing in self._machines(instance) if role == "control-plane"), None)

    def nodes(self, instance: str) -> Sequence[Node]:
        """Every machine of the instance: Ready once it runs and had the time to join."""
        return [
            Node(
                name=name,
                role=role,
                address=address_of(thing, self._world),
                state="Ready" if self.answers(thing) else "NotReady",
            )
            for name, role, thing in self._machines(instance)
        ]

    def joined_at(self, machine: Thing) -> float:
        """A while after the machine runs."""
        seconds = seconds_for("cluster.node", "ready", machine.name)
        return microseconds(machine.ready_at.timestamp() + seconds)

    def answers(self, machine: Thing) -> bool:
        """Whether the machine runs and has joined."""
        running = machine.state == "present" and machine.attributes.get("running") is True
        return running and self._world.clock.timestamp() >= self.joined_at(machine)

    def provide(self, ledger: Ledger, machine: Thing, *, surge: int) -> None:
        """Nothing: Services are node ports, volumes are folders of the nodes."""

    def clear(self, machine: Thing) -> None:
        """Nothing."""

    def _machines(self, instance: str) -> list[tuple[str, Literal["control-plane", "worker"], Thing]]:
        pattern = re.compile(rf"zave-({re.escape(instance)}-(?:(control-plane)|worker)-([0-9]{{1,6}}))")
        found = []
        for thing in self._world.things(kind="libvirt_domain"):
            match = pattern.fullmatch(thing.name)
            if match is not None:
                role: Literal["control-plane", "worker"] = "control-plane" if match[2] else "worker"
                found.append((role, int(match[3]), match[1], thing))
        found.sort(key=lambda each: each[:2])
        return [(name, role, thing) for role, _, name, thing in found]


class AwsSite:
    """EKS: AWS runs the control plane, and the cluster makes things in the account by itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def control_plane(self, instance: str) -> Thing | None:
        """The instance's cluster. Raises as `Gate` does when the account cannot be reached."""
        clusters = self._world.things(kind="aws_eks_cluster")
        mine = next((each for each in clusters if tags_of(each).get(INSTANCE) == instance), None)
        if mine is not None:
            # the cluster's tokens are made of the AWS credentials
            Gate(self._world, region=aws_parts.region_and_account(mine)[0]).ask("eks", "DescribeCluster")
        return mine

    def nodes(self, instance: str) -> Sequence[Node]:
        """The instances that joined the cluster, by their private names."""
        cluster = self.control_plane(instance)
        if cluster is None:
            return []
        machines = [
            each
            for each in self._world.things(provider="aws")
            if each.type == "aws_instance" and cluster_of(each) == cluster.name
        ]
        return [
            Node(
                name=str(each.attributes.get("private_dns") or each.name),
                role="worker",
                address=str(each.attributes.get("private_ip") or ""),
                state="Ready" if each.state == "present" else "NotReady",
            )
            for each in machines
        ]

    def joined_at(self, machine: Thing) -> float:
        """As soon as EKS says that the cluster is active."""
        return machine.ready_at.timestamp()

    def answers(self, machine: Thing) -> bool:
        """Whether the cluster is active."""
        return machine.state == "present"

    def provide(self, ledger: Ledger, machine: Thing, *, surge: int) -> None:
        """A load balancer, volumes, and Karpenter's nodes for a surge."""
        aws_services.provide(ledger, machine, nodes=surge)

    def clear(self, machine: Thing) -> None:
        """Services, claims and node pools go, and with them what they made in AWS."""
        aws_services.clear(self._world, machine)
