"""What an instance wants of an account, what the account says of itself, and what came of comparing them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Literal, Protocol

from zave.errors import PreconditionError, StepFailedError

if TYPE_CHECKING:
    from zave.aws.places import HostedZone

Level = Literal["ok", "info", "warning", "missing"]
Quota = Literal["on-demand vCPUs", "spot vCPUs", "elastic IPs", "VPCs"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `needed`: without it nothing may be created."""

    check: str
    level: Level
    what: str
    fix: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class Window:
    """EKS's support of the wanted version. `surcharge` is USD an hour in extended support."""

    standard_until: date | None
    extended_until: date | None
    surcharge: float | None = None


@dataclass(frozen=True)
class Wanted:
    """What an instance will take. `stands`: the record has it up, so what is its own is no leftover.

    `nodes` is the most that its node group may have, `addresses` are elastic ones (a NAT gateway's).
    `karpenter` is how many vCPUs Karpenter may add to that, None where it has no limit.
    `public_cidrs` are the networks that may reach the API server, `administrators` the ARNs of who
    administers the cluster beside the one that makes it.
    """

    instance: str
    owner: str
    account: str | None
    version: str
    instance_types: tuple[str, ...]
    nodes: int
    spot: bool
    addresses: int = 0
    window: Window | None = None
    stands: bool = False
    karpenter: int | None = 0
    public_cidrs: tuple[IPv4Network, ...] = ()
    administrators: tuple[str, ...] = ()


class AccountFacts(Protocol):
    """What AWS says of an account beside what exists in it: `zave.aws.live.facts.LiveFacts`."""

    def region_enabled(self) -> bool:
        """Whether the account may use the region."""
        ...

    def spot_role(self) -> bool:
        """Whether EC2's service-linked role for spot instances is there."""
        ...

    def quota(self, name: Quota) -> float | None:
        """The account's quota; None where AWS does not tell."""
        ...

    def vcpus(self, instance_types: Sequence[str]) -> Mapping[str, int]:
        """Virtual processors by type; types that the region does not offer are left out."""
        ...

    def nobodys(self, networks: Sequence[IPv4Network]) -> Sequence[IPv4Network]:
        """Those from which nobody can reach the account's region over the internet."""
        ...

    def hosted_zone(self, zone: str) -> "HostedZone | None":
        """The zone of this ID; None when the account has none such."""
        ...

    def bucket_region(self, bucket: str) -> str | None:
        """Where the bucket is, empty where that is not told; None when there is none of the name."""
        ...


def stopped(findings: Sequence[Finding]) -> bool:
    """Whether something that is needed is missing: what else is asked may be answered wrongly."""
    return any(finding.needed and finding.level == "missing" for finding in findings)


def require(findings: Sequence[Finding]) -> None:
    """Raise PreconditionError, with every fix, when something that is needed is missing."""
    missing = [finding for finding in findings if finding.needed and finding.level == "missing"]
    if missing:
        raise PreconditionError(
            missing[0].what if len(missing) == 1 else f"{len(missing)} things are missing in the account",
            details=None if len(missing) == 1 else "\n".join(f"{f.what}: {f.fix}" for f in missing),
            resolution=missing[0].fix,
        )


def guarded(check: str, looks: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What `looks` finds; that it cannot be looked at is a finding as well."""
    try:
        return list(looks())
    except StepFailedError as error:
        return [Finding(check, "warning", f"could not be looked at: {error.details or error.brief}")]
