"""What a demo will cost: from Terraform's plan, the spec's `usage` and the price catalogue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zave.cost.bill import Line, Window, merged, timed, used
from zave.cost.catalogue import MONTH_HOURS, NOTHING, Catalogue, Range, Rate
from zave.cost.karpenter import Most, NodePool, worst_case
from zave.cost.parts import Part, block, credits_part, load_balancer_parts, node_rate, parts, text
from zave.cost.planned import NodeGroup, Planned
from zave.cost.types import PER_USE, STORED

if TYPE_CHECKING:
    from zave.spec import AwsSpec

# what other lines of the estimate count: logs, images, state, builds
_COUNTED = frozenset(
    {
        "aws_cloudwatch_log_group",
        "aws_codebuild_project",
        "aws_ecr_repository",
        "aws_flow_log",
        "aws_s3_bucket",
    }
)
_UPGRADED = "AWS upgrades the cluster to the next version"
_ALWAYS = "not counted: tax, and data out to the internet beyond the first 100 GB of a month"


@dataclass(frozen=True)
class Estimate:
    """What is to be expected for a time to live and for a month of 730 hours.

    `unpriced` names what costs money and has no rate; `warnings` what may change the price.
    """

    ttl_hours: float
    lines: tuple[Line, ...]
    unpriced: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def ttl(self) -> Range:
        """USD until the end of the time to live; `high` includes the teardown after it."""
        return sum((line.ttl for line in self.lines), NOTHING)

    @property
    def month(self) -> Range:
        """USD for 730 hours."""
        return sum((line.month for line in self.lines), NOTHING)

    def document(self) -> dict[str, Any]:
        """The `cost` of a `zave/plan/v1` document."""
        return {
            "currency": "USD",
            "ttl": {"hours": self.ttl_hours, **self.ttl.document()},
            "month": {"hours": MONTH_HOURS, **self.month.document()},
            "lines": [line.document(ttl_hours=self.ttl_hours) for line in self.lines],
            "unpriced": list(self.unpriced),
            "warnings": list(self.warnings),
        }


def estimate(
    document: Mapping[str, Any],
    spec: "AwsSpec",
    *,
    ttl_hours: float,
    at: datetime,
    catalogue: Catalogue,
    karpenter: Sequence[NodePool] = (),
) -> Estimate:
    """Estimate what stands after the plan in `document` (`terraform show -json`, of a plan or a state).

    `catalogue` is that of the spec's region. `karpenter` is what Karpenter's NodePools allow, the worst
    case that `high` includes; without any it is named as unpriced.
    """
    draft = _Draft(Planned.of(document), spec, catalogue, Window(at, ttl_hours), karpenter)
    return draft.estimate()


class _Draft:
    """Collects lines, and the names of what has no rate."""

    def __init__(
        self,
        planned: Planned,
        spec: "AwsSpec",
        catalogue: Catalogue,
        window: Window,
        karpenter: Sequence[NodePool],
    ) -> None:
        self.planned, self.spec, self.catalogue, self.window = planned, spec, catalogue, window
        self.karpenter = karpenter
        self.lines: list[Line] = []
        self.unpriced: list[str] = []
        self.warnings: list[str] = []

    def estimate(self) -> Estimate:
        """Everything, in the order of a bill: cluster, nodes, disks, network, use."""
        nodes = self.spec.eks.nodes
        groups = self.planned.node_groups(
            instance_types=nodes.instance_types,
            spot=nodes.spot,
            minimum=nodes.minimum,
            maximum=nodes.maximum,
        )
        clusters = self.planned.of_type("aws_eks_cluster")
        self._objects("aws_eks_cluster")
        for group in groups:
            self._group(group)
        if clusters:
            self._volumes(groups)
            self._load_balancers()
            self._addresses(groups)
        for resource_type in sorted(self.planned.types() - {"aws_eks_cluster"}):
            self._objects(resource_type)
        self._usage(bool(clusters))
        self._kept()
        self._unknown()
        self._support(clusters)
        if clusters and self.spec.eks.karpenter:
            self._karpenter()
        lines = merged(self.lines)
        return Estimate(
            self.window.ttl_hours,
            lines,
            tuple(dict.fromkeys(self.unpriced)),
            tuple(dict.fromkeys([*self.warnings, *([_ALWAYS] if lines else [])])),
        )

    # building blocks

    def _add(self, part: Part, quantity: Range) -> None:
        line = timed(part, quantity, self.window)
        if line is not None:
            self.lines.append(line)
        elif part.rate is None:
            self._name(part.title)

    def _name(self, title: str) -> None:
        self.unpriced.append(f"{title}: no rate for {self.catalogue.region}")

    def _rate(self, key: str, title: str | None = None) -> Rate | None:
        rate = self.catalogue.rate(key)
        if rate is None:
            self._name(title or key)
        return rate

    def _objects(self, resource_type: str) -> None:
        for values in self.planned.of_type(resource_type):
            for part in parts(resource_type, values, self.catalogue, begun=self.window.at):
                self._add(part, Range.of(1))

    # the cluster's own: what Terraform's plan does not name

    def _group(self, group: NodeGroup) -> None:
        rates: list[Rate] = []
        most = max(group.maximum, group.minimum)
        for instance_type in group.instance_types:
            rate = node_rate(instance_type, self.catalogue, spot=group.spot)
            if rate is None:
                self._name(f"nodes of type {instance_type}")
                continue
            rates.append(rate)
            if group.spot and not rate.key.endswith(".spot"):
                self.warnings.append(f"no spot price is known for {instance_type}: on-demand is counted")
        if not rates:
            return
        # the first type is what is hoped for; any of them may come
        span = Range(min(r.usd.low for r in rates), rates[0].usd.expected, max(r.usd.high for r in rates))
        part = Part(f"nodes, {rates[0].title}", replace(rates[0], usd=span))
        self._add(part, Range(group.minimum, group.minimum, most))
        self._credits(group.instance_types, most)

    def _credits(self, instance_types: Sequence[str], nodes: float) -> None:
        """The worst case of unlimited mode: every vCPU busy all the time, with no baseline at all."""
        found: dict[Part, int] = {}
        for name in instance_types:
            part = credits_part(name, self.catalogue)
            if part is not None:
                found[part] = max(found.get(part, 0), self.catalogue.vcpu(name) or 0)
        for part, vcpu in found.items():
            self._add(part, Range(0, 0, nodes * vcpu))

    def _volumes(self, groups: list[NodeGroup]) -> None:
        """Root volumes and those of claims: `usage.volumes_gb` is both, the roots are the least of it."""
        roots = sum(group.minimum * group.root_gb for group in groups)
        more = sum((group.maximum - group.minimum) * group.root_gb for group in groups)
        expected = max(float(self.spec.usage.volumes_gb), roots)
        rate = self._rate("ebs.gp3", "EBS gp3 volumes")
        if rate is not None and expected:
            self._add(Part(rate.title, rate), Range(expected, expected, expected + max(more, 0.0)))

    def _load_balancers(self) -> None:
        """Those of the cluster's Services: network load balancers, which Terraform knows nothing of."""
        count = self.spec.usage.load_balancers
        for part in load_balancer_parts("network", self.catalogue) if count else ():
            self._add(part, Range.of(count))

    def _addresses(self, groups: list[NodeGroup]) -> None:
        """Public addresses of nodes (unless they are behind NAT) and of load balancers, one a zone."""
        rate = self._rate("ipv4", "public IPv4 address")
        if rate is None:
            return
        public = [] if self.planned.of_type("aws_nat_gateway") else groups
        fewest = sum(group.minimum for group in public)
        most = sum(max(group.maximum, group.minimum) for group in public)
        services = self.spec.usage.load_balancers * self.planned.zones()
        self._add(Part(rate.title, rate), Range(fewest + services, fewest + services, most + services))

    def _karpenter(self) -> None:
        """None are hoped for; the NodePools' limits on demand are the worst that can happen."""
        public = not self.planned.of_type("aws_nat_gateway")
        for found in worst_case(self.karpenter, self.catalogue, addresses=public):
            if isinstance(found, Most):
                self._add(found.part, Range(0, 0, found.quantity))
            else:
                self.unpriced.append(found)

    # use

    def _usage(self, cluster: bool) -> None:
        usage, types = self.spec.usage, self.planned.types()
        if "aws_nat_gateway" in types:
            self._used("nat.gb", usage.nat_gb, growth="month_of_nat_gb")
        if cluster or "aws_cloudwatch_log_group" in types:
            self._used("logs.in", usage.logs_gb, growth="month_of_logs_gb")
            self._stored_logs()
        if cluster:
            # the sender's zone and the receiver's are both charged
            self._used("cross-az", 2 * usage.cross_az_gb, growth="month_of_cross_az_gb")
            self._destroyer()

    def _used(self, key: str, amount: float, *, growth: str) -> None:
        rate = self._rate(key)
        if rate is not None and amount:
            ttl = self._grown(amount, growth=growth, hours=self.window.ttl_hours)
            month = self._grown(amount, growth=growth, hours=MONTH_HOURS)
            self.lines.append(used(rate.title, rate, ttl=ttl, month=month))

    def _grown(self, amount: float, *, growth: str, hours: float) -> float:
        """`usage` is that of a demo of 48 hours; a part of it comes with building, the rest with time.

        The catalogue's assumption says how many times as much a month sees; between is a straight line.
        """
        base = self.catalogue.assumption("usage_hours")
        factor = self.catalogue.assumption(growth)
        return amount * (1 + (factor - 1) * (hours - base) / (MONTH_HOURS - base))

    def _stored_logs(self) -> None:
        """Logs come in evenly, so that half of them are there on average."""
        rate, amount = self._rate("logs.stored"), self.spec.usage.logs_gb
        if rate is None or not amount:
            return
        ttl, month = (
            self._grown(amount, growth="month_of_logs_gb", hours=hours) / 2
            for hours in (self.window.ttl_hours, MONTH_HOURS)
        )
        share = self.window.ttl_hours / MONTH_HOURS
        self.lines.append(Line(rate.title, ttl, rate, rate.usd * (ttl * share), rate.usd * month))

    def _destroyer(self) -> None:
        rate = self._rate("codebuild.minute")
        if rate is not None:
            minutes = self.catalogue.assumption("destroyer_minutes")
            self.lines.append(used(f"{rate.title}: the destroyer", rate, ttl=minutes, month=minutes))

    def _kept(self) -> None:
        """Images and state: how much is supposed, once for all repositories and all buckets."""
        for resource_type, key, assumed in (
            ("aws_ecr_repository", "ecr.stored", "ecr_gb"),
            ("aws_s3_bucket", "s3.stored", "s3_gb"),
        ):
            if self.planned.of_type(resource_type) and (rate := self._rate(key)) is not None:
                self._add(Part(rate.title, rate), Range.of(self.catalogue.assumption(assumed)))

    # what is said besides

    def _unknown(self) -> None:
        for resource_type in sorted(self.planned.types() - _COUNTED):
            use = STORED.get(resource_type) or PER_USE.get(resource_type)
            if use is not None:
                self.unpriced.append(f"{resource_type}: {use}")
        self.unpriced += [
            f"{found}: zave has no price for this type" for found in self.planned.unknown_types()
        ]

    def _support(self, clusters: list[Mapping[str, Any]]) -> None:
        for values in clusters:
            self.warnings += _support_warnings(values, self.catalogue, self.window)


def _support_warnings(values: Mapping[str, Any], catalogue: Catalogue, window: Window) -> Iterator[str]:
    support = catalogue.support(text(values, "version"))
    if support is None:
        return
    upgrades = text(block(values, "upgrade_policy"), "support_type") == "STANDARD"
    ends, name = support.standard_until, f"Kubernetes {support.version}"
    if ends is None or ends <= window.at:
        yield f"{name} is in extended support, which costs more by the hour: choose a newer version"
    elif ends < window.month_end:
        when = "within the time to live" if ends < window.expiry else "within a month"
        day = f"{ends:%Y-%m-%d}"
        upgraded, charged = f"on {day} {_UPGRADED}", f"from {day} on extended support is charged"
        yield f"standard support of {name} ends {when}: {upgraded if upgrades else charged}"
    last = support.extended_until
    if last is not None and last < window.month_end:
        yield f"extended support of {name} ends: on {last:%Y-%m-%d} {_UPGRADED}"
