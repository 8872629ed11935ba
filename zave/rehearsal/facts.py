"""What the rehearsed account says of itself beside what exists in it: an account that has been in use."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from zave.aws.findings import Quota
from zave.aws.places import HostedZone
from zave.rehearsal.world import World

DOCUMENT = ("aws_facts", "default")

# AWS's defaults (Service Quotas, 2026-11-23) but for vCPUs, of which AWS grants more with use
_QUOTAS: Mapping[Quota, float] = {
    "on-demand vCPUs": 64.0,
    "spot vCPUs": 64.0,
    "elastic IPs": 5.0,
    "VPCs": 5.0,
}
# by size, as the current families have them (EC2 instance types)
_VCPUS = {"nano": 2, "micro": 2, "small": 2, "medium": 2, "large": 2, "xlarge": 4}


class SimulatedFacts:
    """Implements `zave.aws.findings.AccountFacts` over a world.

    The world's document may say otherwise: `spot_role`, `region_enabled`, `quotas` by name, the names of
    `zones` by ID, the regions of `buckets` by name; None for one that is not there.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def region_enabled(self) -> bool:
        """Whether the account may use the region."""
        return bool(self._told().get("region_enabled", True))

    def spot_role(self) -> bool:
        """Whether EC2's service-linked role for spot instances is there."""
        return bool(self._told().get("spot_role", True))

    def quota(self, name: Quota) -> float | None:
        """The account's quota."""
        quotas = {**_QUOTAS, **self._told().get("quotas", {})}
        return float(quotas[name])

    def vcpus(self, instance_types: Sequence[str]) -> Mapping[str, int]:
        """Virtual processors by type."""
        return {name: _vcpus(name) for name in instance_types}

    def nobodys(self, networks: Sequence[IPv4Network]) -> Sequence[IPv4Network]:
        """None: on the simulated internet everybody has an address of an example (RFC 5737)."""
        return ()

    def hosted_zone(self, zone: str) -> HostedZone | None:
        """A zone, whatever its ID: that of the root, in which every domain is."""
        name = self._told().get("zones", {}).get(zone, "")
        return None if name is None else HostedZone(name)

    def bucket_region(self, bucket: str) -> str | None:
        """Not told: a bucket, whatever its name, is where it is looked for."""
        region: str | None = self._told().get("buckets", {}).get(bucket, "")
        return region

    def _told(self) -> dict[str, Any]:
        return self._world.get_document(*DOCUMENT) or {}


def _vcpus(instance_type: str) -> int:
    size = instance_type.partition(".")[2]
    times = size.removesuffix("xlarge")
    return 4 * int(times) if size.endswith("xlarge") and times.isdigit() else _VCPUS.get(size, 2)
