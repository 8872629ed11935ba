"""The price catalogue: rates of one region with their date and source, from `prices/aws.json`.

What has no rate is None here and is named as unpriced above; nothing is ever counted as $0 because it
is not known. Amounts are in USD without tax.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

MONTH_HOURS = 730

Rounding = Literal["second", "hour"]

_HOUR = timedelta(hours=1)
_SHIPPED = Path(__file__).resolve().parent / "prices" / "aws.json"


@dataclass(frozen=True)
class Range:
    """An amount that is not known exactly; `low <= expected <= high`."""

    low: float
    expected: float
    high: float

    @classmethod
    def of(cls, value: float) -> Self:
        """A value that is known."""
        return cls(value, value, value)

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: "Range | float") -> "Range":
        """Times a number or a range, neither of them negative."""
        by = other if isinstance(other, Range) else Range.of(other)
        return Range(self.low * by.low, self.expected * by.expected, self.high * by.high)

    def document(self) -> dict[str, float]:
        """`low`, `expected`, `high` in USD, to a hundredth of a cent."""
        return {name: round(getattr(self, name), 4) for name in ("low", "expected", "high")}


NOTHING = Range.of(0.0)


@dataclass(frozen=True)
class Rate:
    """What one unit costs. `usd` is a range where the market decides (spot) or sources differ.

    `rounding` is how AWS counts time: by the second, at least `minimum_seconds`, or by begun hours.
    NAT and EKS: prices of 2026-11-23; the others as AWS bills them, by begun hours where in doubt.
    """

    key: str
    title: str
    unit: str
    usd: Range
    as_of: str
    source: str
    rounding: Rounding = "second"
    minimum_seconds: int = 0

    def billed_hours(self, spent: timedelta) -> float:
        """Hours on the bill for something that was there for `spent`; monotone, never less."""
        spent = max(spent, timedelta(0))
        if self.rounding == "hour":
            return float(max(1, -(-spent // _HOUR)))
        return max(spent, timedelta(seconds=self.minimum_seconds)) / _HOUR

    def per_hour(self) -> Range:
        """USD for one unit during one hour; for units bought by the month a 730th of it."""
        return self.usd * (1 / MONTH_HOURS) if self.unit.endswith("-month") else self.usd


@dataclass(frozen=True)
class Support:
    """EKS's support of one Kubernetes version; the first moment at which a phase is over."""

    version: str
    standard_until: datetime | None
    extended_until: datetime | None

    def extended_from(self) -> datetime:
        """When the surcharge begins; long ago where only the extended window is known."""
        return self.standard_until or datetime.min.replace(tzinfo=UTC)


class Catalogue:
    """Rates of one region. Every getter gives None for what has no rate there."""

    def __init__(self, document: Mapping[str, Any], *, region: str) -> None:
        self.region = region
        self._document = document

    @classmethod
    def load(cls, region: str, *, refreshed: Path | None = None) -> Self:
        """The catalogue that zave ships, with what `prices update` kept in `refreshed` where that is newer.

        A region without rates has an empty one. A file that is missing or damaged is passed over.
        """
        return cls(load_document(refreshed), region=region)

    def rate(self, key: str) -> Rate | None:
        """The rate of an item such as `nat.hour`."""
        item = self._document["items"].get(key, {})
        return self._rate(key, item, item.get("rates", {}).get(self.region))

    def node(self, instance_type: str, *, spot: bool) -> Rate | None:
        """An EC2 instance's hour, Linux, shared tenancy."""
        found = self._document["instances"].get(instance_type, {}).get(self.region, {})
        market = "spot" if spot else "on-demand"
        shape = {
            "title": f"{instance_type}, {market}",
            "unit": "hour",
            "rounding": "second",
            # EC2 bills Linux by the second, at least one minute
            "minimum_seconds": 60,
        }
        return self._rate(f"ec2.{instance_type}.{market}", shape, found.get("spot" if spot else "on_demand"))

    def instance_types(self) -> tuple[str, ...]:
        """The EC2 instance types that the catalogue knows, whether or not they have a rate here."""
        return tuple(self._document["instances"])

    def vcpu(self, instance_type: str) -> int | None:
        """Virtual processors of an instance type."""
        found: int | None = self._document["instances"].get(instance_type, {}).get("vcpu")
        return found

    def support(self, version: str) -> Support | None:
        """When EKS's support of a Kubernetes version ends."""
        found = self._document["eks"]["versions"].get(version)
        if found is None:
            return None
        return Support(version, _day(found["standard_until"]), _day(found["extended_until"]))

    def assumption(self, name: str) -> float:
        """A number that an estimate has to suppose. Raises KeyError for one that is not in the data."""
        return float(self._document["assumptions"][name]["value"])

    def _rate(self, key: str, item: Mapping[str, Any], found: Mapping[str, Any] | None) -> Rate | None:
        if found is None:
            return None
        usd, source = float(found["usd"]), self._document["sources"][found["source"]]
        return Rate(
            key=key,
            title=item["title"],
            unit=item["unit"],
            usd=Range(found.get("low", usd), usd, found.get("high", usd)),
            as_of=found["as_of"],
            source=f"{source} (uncertain)" if found.get("uncertain") else source,
            rounding=item.get("rounding", "second"),
            minimum_seconds=item.get("minimum_seconds", 0),
        )


def load_document(refreshed: Path | None = None) -> dict[str, Any]:
    """The shipped document; each rate from `refreshed` instead where that one is newer."""
    shipped: dict[str, Any] = json.loads(_SHIPPED.read_text(encoding="utf-8"))
    if refreshed is None:
        return shipped
    try:
        kept = json.loads(refreshed.read_text(encoding="utf-8"))
        return _newest(shipped, kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return shipped


def _newest(shipped: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = json.loads(json.dumps(shipped))
    merged["sources"] = {**kept["sources"], **shipped["sources"]}
    for key, item in merged["items"].items():
        _take_newer(item["rates"], kept["items"].get(key, {}).get("rates", {}))
    for name, instance in merged["instances"].items():
        for region, rates in kept["instances"].get(name, {}).items():
            if isinstance(rates, Mapping):
                _take_newer(instance.setdefault(region, {}), rates)
    if kept["eks"]["as_of"] > shipped["eks"]["as_of"]:
        merged["eks"] = dict(kept["eks"])
    return merged


def _take_newer(rates: dict[str, Any], others: Mapping[str, Any]) -> None:
    # a month sorts before its days, so what is only known to a month counts as older
    for place, rate in others.items():
        if place not in rates or rate["as_of"] > rates[place]["as_of"]:
            rates[place] = rate


def _day(text: str | None) -> datetime | None:
    """The end of a day as AWS names it: its first moment, so that the surcharge is not shown late."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
