"""What one object is billed for by time: the parts of its price, from its type and attributes.

The attributes are Terraform's, from a plan (typed) or from an inventory (text).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zave.cost.catalogue import NOTHING, Catalogue, Range, Rate
from zave.cost.types import BY_TIME

Values = Mapping[str, Any]

# gp3 has so many IOPS for nothing (the catalogue's item says the same)
_GP3_IOPS = 3000
# EBS gives a volume of this type unless another is asked for; only gp3 has a rate
_VOLUME_TYPE = "gp3"
# by family, spot or not (EC2 API reference, CreditSpecification); no rate is known of T4g's
_T3_CREDITS = ("t3.credits", "T3 unlimited credits")
_UNLIMITED = {"t3": _T3_CREDITS, "t3a": _T3_CREDITS, "t4g": ("t4g.credits", "T4g unlimited credits")}


@dataclass(frozen=True)
class Part:
    """One thing on the bill, `quantity` of it by the hour or month; `rate` is None where none is known.

    A part with `since` costs from that moment on.
    """

    title: str
    rate: Rate | None
    quantity: float = 1.0
    since: datetime | None = None

    def usd(self, start: datetime, end: datetime) -> Range:
        """What it costs from `start` to `end`; nothing without a rate."""
        begun = max(start, self.since) if self.since else start
        if self.rate is None or (self.since is not None and end <= begun):
            return NOTHING
        return self.rate.per_hour() * self.quantity * self.rate.billed_hours(end - begun)


def parts(resource_type: str, values: Values, catalogue: Catalogue, *, begun: datetime) -> tuple[Part, ...]:
    """The parts of one object, public addresses of its own included; empty for what costs nothing.

    It is there since `begun`, or will be from then on.
    """
    if resource_type == "aws_eks_cluster":
        return tuple(_cluster(values, catalogue, begun=begun))
    price = _PRICED.get(resource_type)
    if price is None:
        return (Part(resource_type, None),) if resource_type in BY_TIME else ()
    return tuple(price(values, catalogue))


def node_rate(instance_type: str, catalogue: Catalogue, *, spot: bool) -> Rate | None:
    """An instance's rate; where spot has none the on-demand rate, which spot never exceeds."""
    found = catalogue.node(instance_type, spot=True) if spot else None
    return found or catalogue.node(instance_type, spot=False)


def credits_part(instance_type: str, catalogue: Catalogue) -> Part | None:
    """A vCPU-hour above the baseline of a type that starts in unlimited mode; None for all others."""
    known = _UNLIMITED.get(instance_type.partition(".")[0])
    if known is None:
        return None
    key, title = known
    return Part(title, catalogue.rate(key))


def load_balancer_parts(kind: str, catalogue: Catalogue) -> tuple[Part, ...]:
    """A load balancer (`network` or `application`) without its addresses."""
    units = catalogue.assumption("load_balancer_capacity_units")
    if kind == "network":
        hour, unit = _of("nlb.hour", catalogue), _of("nlb.nlcu", catalogue, quantity=units)
    elif kind == "application":
        hour, unit = _of("alb.hour", catalogue), _of("alb.lcu", catalogue, quantity=units)
    else:
        return (Part(f"load balancer of type {kind}", None),)
    return (hour, unit)


def text(values: Values, name: str, default: str = "") -> str:
    """An attribute as text; a list of one is what it holds."""
    found = values.get(name)
    if isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    return default if found is None or found == "" else str(found)


def number(values: Values, name: str, default: float = 0.0) -> float:
    """An attribute as a number, the default where it is not one."""
    try:
        return float(text(values, name) or default)
    except ValueError:
        return default


def block(values: Values, name: str) -> Values:
    """The first of a nested block's objects, empty where there is none or it is not known."""
    found = values.get(name)
    first = found[0] if isinstance(found, list | tuple) and found else found
    return first if isinstance(first, Mapping) else {}


def is_true(values: Values, name: str) -> bool:
    """Whether a flag is on, written as a boolean or as text."""
    return text(values, name).lower() == "true"


def _of(key: str, catalogue: Catalogue, *, quantity: float = 1.0) -> Part:
    rate = catalogue.rate(key)
    return Part(key if rate is None else rate.title, rate, quantity)


def _fixed(*keys: str) -> Callable[[Values, Catalogue], Iterator[Part]]:
    def price(_values: Values, catalogue: Catalogue) -> Iterator[Part]:
        for key in keys:
            yield _of(key, catalogue)

    return price


def _cluster(values: Values, catalogue: Catalogue, *, begun: datetime) -> Iterator[Part]:
    yield _of("eks.cluster", catalogue)
    version = text(values, "version")
    support = catalogue.support(version)
    policy = text(block(values, "upgrade_policy"), "support_type") or text(values, "upgrade_policy")
    if support is None:
        yield Part(f"EKS extended support, if Kubernetes {version or '(version not known)'} needs it", None)
    elif policy != "STANDARD" or support.extended_from() <= begun:
        # with STANDARD AWS upgrades the cluster at the end of the window instead of charging for it; a
        # cluster of a version whose window is over has the extended price, whatever its policy says
        rate = catalogue.rate("eks.extended")
        yield Part("EKS extended support", rate, since=support.extended_from())


def _instance(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    instance_type = text(values, "instance_type", "(type not known)")
    market = text(values, "instance_lifecycle") or text(
        block(values, "instance_market_options"), "market_type"
    )
    rate = node_rate(instance_type, catalogue, spot=market == "spot")
    yield Part(f"instance {instance_type}" if rate is None else rate.title, rate)
    yield from _address(values, catalogue)


def _address(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    if text(values, "public_ip"):
        yield _of("ipv4", catalogue)


def _interface(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    # counted already: an instance's address with the instance, an elastic one by itself
    if not (text(values, "instance_id") or text(values, "allocation_id")):
        yield from _address(values, catalogue)


def _volume(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    kind = text(values, "type", _VOLUME_TYPE)
    if kind != _VOLUME_TYPE:
        yield Part(f"EBS volume of type {kind}", None)
        return
    yield _of("ebs.gp3", catalogue, quantity=number(values, "size"))
    extra = number(values, "iops", _GP3_IOPS) - _GP3_IOPS
    if extra > 0:
        yield _of("ebs.gp3.iops", catalogue, quantity=extra)


def _load_balancer(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    # Terraform's default is an application load balancer; the addresses are its interfaces'
    yield from load_balancer_parts(text(values, "load_balancer_type", "application"), catalogue)


def _database(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    instance_class = text(values, "instance_class", "(class not known)")
    rate = catalogue.rate(f"rds.{instance_class}")
    yield Part(f"RDS {instance_class}", rate)
    if is_true(values, "multi_az"):
        yield Part("RDS multi-AZ", None)
    kind = text(values, "storage_type", "gp3")
    if kind == "gp3":
        yield _of("rds.gp3", catalogue, quantity=number(values, "allocated_storage"))
    else:
        yield Part(f"RDS storage of type {kind}", None)
    if is_true(values, "manage_master_user_password"):
        yield _of("secret", catalogue)
    if is_true(values, "publicly_accessible"):
        yield _of("ipv4", catalogue)


def _endpoint(values: Values, catalogue: Catalogue) -> Iterator[Part]:
    if text(values, "vpc_endpoint_type", "Gateway") == "Gateway":
        return
    subnets = values.get("subnet_ids")
    # a plan has a list, an inventory names with commas
    zones = len(subnets if isinstance(subnets, list | tuple) else str(subnets or "").split(","))
    yield _of("endpoint.hour", catalogue, quantity=max(zones, 1))


_PRICED: Mapping[str, Callable[[Values, Catalogue], Iterator[Part]]] = {
    "aws_db_instance": _database,
    "aws_ebs_volume": _volume,
    "aws_eip": _fixed("ipv4"),
    "aws_instance": _instance,
    "aws_kms_key": _fixed("kms.key"),
    "aws_lb": _load_balancer,
    "aws_nat_gateway": _fixed("nat.hour"),
    "aws_network_interface": _interface,
    "aws_route53_zone": _fixed("hosted-zone"),
    "aws_secretsmanager_secret": _fixed("secret"),
    "aws_vpc_endpoint": _endpoint,
}
