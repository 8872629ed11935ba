"""What Karpenter may add to a demo: none is hoped for, and all that its NodePools allow is the worst case.

Karpenter checks a limit only eventually, so that a rush of pods may go past it for a while (its docs,
"NodePools"): what is reckoned here is what it holds to.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from zave.cost.catalogue import Catalogue, Range, Rate
from zave.cost.parts import Part, credits_part
from zave.spec.network import architecture_of

ARCHITECTURES = ("amd64", "arm64")
"""What a NodePool allows that does not say."""

_NODES = "Karpenter's nodes"


@dataclass(frozen=True)
class NodePool:
    """What one NodePool allows, None for what it says in a way that zave does not read.

    `vcpu` is its limit, `smallest` the fewest vCPUs of one node, `disk_gib` the gp3 disks of one node.
    """

    vcpu: int | None
    families: tuple[str, ...] | None
    architectures: tuple[str, ...] = ARCHITECTURES
    smallest: int = 1
    disk_gib: float | None = None

    def nodes(self) -> int:
        """The most nodes of which the limit can be made up; 0 without one."""
        return 0 if self.vcpu is None else math.ceil(self.vcpu / self.smallest)

    def allows(self, instance_type: str) -> bool:
        """Whether it is of one of the families, and of one of the architectures."""
        family = instance_type.partition(".")[0]
        return family in (self.families or ()) and architecture_of(instance_type) in self.architectures


@dataclass(frozen=True)
class Most:
    """So many of a part, and no more."""

    part: Part
    quantity: float


def worst_case(pools: Sequence[NodePool], catalogue: Catalogue, *, addresses: bool) -> Iterator[Most | str]:
    """All that the pools allow, on demand; texts name what is left out for want of a price.

    `addresses`: each node has a public one.
    """
    if not pools:
        yield f"{_NODES}: what its NodePools allow is not known"
    for pool in pools:
        if pool.vcpu is None:
            yield f"{_NODES}: the limit of its NodePool is not known"
        elif pool.families is None:
            yield f"{_NODES}: the families of instances in its NodePool are not known"
        else:
            yield from _instances(pool, pool.vcpu, catalogue)
            yield from _beside(pool, catalogue, addresses=addresses)


def _instances(pool: NodePool, vcpu: int, catalogue: Catalogue) -> Iterator[Most | str]:
    """The dearest of the pool's families; within one, what the catalogue has stands for the others.

    From `large` on a vCPU costs the same in every size, below it less (Karpenter 1.15.1's table of
    on-demand prices, 2026-07-20, for t3, t3a and m6i in us-east-1).
    """
    rates = {name: rate for name in catalogue.instance_types() if (rate := _per_vcpu(pool, name, catalogue))}
    known = {name.partition(".")[0] for name in rates}
    for family in pool.families or ():
        if family not in known and architecture_of(f"{family}.large") in pool.architectures:
            yield f"{_NODES} of the family {family}: no rate for {catalogue.region}"
    if not rates:
        return

    more = {name: part for name in rates if (part := credits_part(name, catalogue))}

    def dearness(name: str) -> float:
        above = more[name].rate if name in more else None
        return rates[name].usd.high + (above.usd.high if above else 0.0)

    dearest = max(rates, key=dearness)
    yield Most(Part(f"{_NODES}, at most {vcpu} vCPU", rates[dearest]), vcpu)
    if dearest in more:
        yield Most(more[dearest], vcpu)


def _per_vcpu(pool: NodePool, name: str, catalogue: Catalogue) -> Rate | None:
    rate, vcpu = catalogue.node(name, spot=False), catalogue.vcpu(name)
    if rate is None or not vcpu or not pool.allows(name):
        return None
    return replace(rate, usd=rate.usd * Range.of(1 / vcpu), unit="vCPU-hour")


def _beside(pool: NodePool, catalogue: Catalogue, *, addresses: bool) -> Iterator[Most | str]:
    disk = catalogue.rate("ebs.gp3")
    if pool.disk_gib is None:
        yield f"the disks of {_NODES}: their size or type is not known"
    elif disk is not None:
        yield Most(Part(disk.title, disk), pool.nodes() * pool.disk_gib)
    address = catalogue.rate("ipv4")
    if addresses and address is not None:
        yield Most(Part(address.title, address), pool.nodes())
