"""Whether what an instance may take fits into the account's quotas, beside what others have there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zave.aws.findings import AccountFacts, Finding, Quota, Wanted
from zave.ports import Item

_MORE = "ask for more in the console's Service Quotas, or lower"
_POOLS = "limits.cpu of Karpenter's NodePools"


@dataclass(frozen=True)
class _Use:
    """One quota: what is allowed (None where AWS does not tell), what others have, what is to come."""

    name: Quota
    allowed: float | None
    used: int
    needed: int

    @property
    def left(self) -> float | None:
        """What is free once everything that is needed is there; below 0 where it does not fit."""
        return None if self.allowed is None else self.allowed - self.used - self.needed


def quotas(facts: AccountFacts, items: Sequence[Item], wanted: Wanted) -> Iterator[Finding]:
    """What of `wanted` fits. `items` are all that exists; what is the instance's own counts as to come."""
    own = [item for item in items if item.owner == wanted.instance]
    others = [item for item in items if item.owner != wanted.instance]
    yield from _machines(facts, others, wanted)
    vpcs = sum(item.type == "aws_vpc" for item in others)
    network = 0 if any(item.type == "aws_vpc" for item in own) else 1
    yield _fits(_Use("VPCs", facts.quota("VPCs"), vpcs, network))
    if wanted.addresses:
        used = sum(item.type == "aws_eip" for item in others)
        yield _fits(_Use("elastic IPs", facts.quota("elastic IPs"), used, wanted.addresses))


def _machines(facts: AccountFacts, others: Sequence[Item], wanted: Wanted) -> Iterator[Finding]:
    running = [item for item in others if item.type == "aws_instance"]
    known = facts.vcpus(sorted({*wanted.instance_types, *_types(running)}))
    for missing in sorted(set(wanted.instance_types) - known.keys()):
        yield Finding("quotas", "warning", f"the region does not offer {missing}", "leave the type out")
    offered = [known[type_] for type_ in wanted.instance_types if type_ in known]
    nodes = wanted.nodes * max(offered, default=0)

    def market(name: Quota, *, spot: bool) -> _Use:
        used = sum(known.get(type_, 0) for type_ in _types([i for i in running if _is_spot(i) == spot]))
        return _Use(name, facts.quota(name), used, nodes if spot == wanted.spot else 0)

    both = (market("spot vCPUs", spot=True), market("on-demand vCPUs", spot=False))
    node_group, other = both if wanted.spot else reversed(both)
    yield _fits(node_group)
    if wanted.karpenter != 0:
        yield from _karpenter(node_group, other, limit=wanted.karpenter)


def _karpenter(node_group: _Use, other: _Use, *, limit: int | None) -> Iterator[Finding]:
    """Whether Karpenter can have all that its NodePools allow: without it the cluster stands all the same.

    It takes the other market where the quota of one is used up (its `errors.go`, unfulfillable capacity).
    """
    if other.left is None:
        yield _unknown(other)
    if node_group.left is None or other.left is None:
        return
    room = max(0.0, node_group.left) + max(0.0, other.left)
    left = f"the quotas of {node_group.name} and {other.name} leave {room:.0f} beside the node group"
    if limit is None:
        what = f"Karpenter may add any number of vCPUs: {left}, and it may use them up"
        yield Finding("quotas", "warning", what, f"set {_POOLS}")
    elif limit > room:
        what = f"Karpenter may add {limit} vCPUs, but {left}: pods that need more stay pending"
        yield Finding("quotas", "warning", what, f"{_MORE} {_POOLS}")
    else:
        yield Finding("quotas", "ok", f"Karpenter may add {limit} vCPUs, and {left}")


def _fits(use: _Use) -> Finding:
    if use.allowed is None or use.left is None:
        return _unknown(use)
    told = f"{use.name}: {use.used} in use, {use.needed} more are needed, {use.allowed:.0f} are allowed"
    if use.left < 0:
        fix = f"{_MORE} eks.nodes.maximum or another use"
        return Finding("quotas", "missing", told, fix, needed=True)
    return Finding("quotas", "ok", told)


def _unknown(use: _Use) -> Finding:
    return Finding("quotas", "warning", f"AWS does not tell the quota of {use.name}")


def _is_spot(item: Item) -> bool:
    return item.attributes.get("instance_lifecycle") == "spot"


def _types(items: Sequence[Item]) -> list[str]:
    return [item.attributes["instance_type"] for item in items if "instance_type" in item.attributes]
