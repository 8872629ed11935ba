"""The port of prices: what AWS asks, as AWS itself tells it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True)
class SpotPrice:
    """What an instance cost on the spot market of a zone from a moment on, USD an hour."""

    instance_type: str
    zone: str
    usd: float
    at: datetime


@dataclass(frozen=True)
class VersionWindow:
    """Until when EKS supports a version of Kubernetes: days, as in 2027-03-27."""

    version: str
    standard_until: str | None
    extended_until: str | None


class PriceSource(Protocol):
    """Who tells prices; the boto3 adapter is `zave.aws.live.prices.LivePrices`."""

    def products(self, service: str, attributes: Mapping[str, str]) -> Iterable[Mapping[str, Any]]:
        """Products of the Price List with these attributes, terms included."""
        ...

    def spot(self, instance_types: Sequence[str], *, since: datetime) -> Iterable[SpotPrice]:
        """Spot prices of Linux."""
        ...

    def versions(self) -> Iterable[VersionWindow]:
        """The versions of EKS."""
        ...
