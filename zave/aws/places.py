"""What a demo's extras write to, a zone and a bucket of the user's: looked at before anything is made."""

from collections.abc import Iterator
from dataclasses import dataclass

from zave.aws.findings import AccountFacts, Finding, guarded


@dataclass(frozen=True)
class Place:
    """Something of the user's that the cluster will write to: a hosted zone by its ID, or a bucket.

    `inside` is the domain that the zone must have, or the region that the bucket must be in.
    """

    name: str
    inside: str


@dataclass(frozen=True)
class HostedZone:
    """A hosted zone of Route 53: its name without the last dot, empty for the root."""

    name: str
    private: bool = False


def look_at_places(facts: AccountFacts, *, zone: Place | None, backups: Place | None) -> list[Finding]:
    """Whether each that is given is there, and the right one."""
    found: list[Finding] = []
    if zone is not None:
        found += guarded("hosted zone", lambda: _zone(facts, zone))
    if backups is not None:
        found += guarded("backups", lambda: _backups(facts, backups))
    return found


def _zone(facts: AccountFacts, wanted: Place) -> Iterator[Finding]:
    zone = facts.hosted_zone(wanted.name)
    if zone is None:
        yield Finding(
            "hosted zone",
            "missing",
            f"the account has no hosted zone {wanted.name}",
            "set ingress.zone to the ID of one that `aws route53 list-hosted-zones` shows",
            needed=True,
        )
    elif not f".{wanted.inside}".endswith(f".{zone.name}" if zone.name else ""):
        yield Finding(
            "hosted zone",
            "missing",
            f"{wanted.inside} is not in {zone.name}, which hosted zone {wanted.name} is for",
            "set ingress.zone to the zone of the domain, or ingress.domain to a name in this one",
            needed=True,
        )
    elif zone.private:
        yield Finding(
            "hosted zone",
            "warning",
            f"{wanted.name} is private: only the networks that it belongs to see names in it",
            "set ingress.zone to a public zone, or give the demo's VPC to this one by hand",
        )
    else:
        yield Finding("hosted zone", "ok", f"{wanted.name} has {wanted.inside}")


def _backups(facts: AccountFacts, wanted: Place) -> Iterator[Finding]:
    region = facts.bucket_region(wanted.name)
    if region is None:
        yield Finding(
            "backups",
            "missing",
            f"there is no bucket {wanted.name} for backups",
            "make it, or name another one in gitops.variables.velero_bucket",
            needed=True,
        )
    elif region and region != wanted.inside:
        yield Finding(
            "backups",
            "missing",
            f"the bucket {wanted.name} is in {region}, not in {wanted.inside}",
            f"set gitops.variables.velero_region to {region}",
            needed=True,
        )
    else:
        yield Finding("backups", "ok", f"the bucket {wanted.name} is there")
