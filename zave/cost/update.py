"""`prices update`: the catalogue asked anew of AWS's Price List, spot history and EKS.

A rate is taken over only where the answer is unmistakable; all else is named as not found, and keeps the
rate, date and source that it had.

Service codes and usage types: prices.md of 2026-11-23, as the Price List calls them. Usage types begin with
a region's own prefix everywhere but in us-east-1.
"""

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from zave.clock import rfc3339
from zave.errors import StepFailedError
from zave.ports.prices import PriceSource
from zave.render import write_private

LIST_SOURCE = "aws-price-list"
SPOT_SOURCE = "aws-spot-history"
_SOURCES: Final = {
    LIST_SOURCE: "AWS Price List API (GetProducts), asked by zave prices update",
    SPOT_SOURCE: "EC2 spot price history of seven days, asked by zave prices update; a mean over zones",
}
SPOT_WINDOW: Final = timedelta(days=7)

_SINGLE = {"deploymentOption": "Single-AZ", "databaseEngine": "PostgreSQL"}


@dataclass(frozen=True)
class Query:
    """Which products of a service have the rate: by the end of their usage type, and by attributes."""

    service: str
    usage: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    family: str = ""


QUERIES: Final[Mapping[str, Query]] = {
    "eks.cluster": Query("AmazonEKS", "AmazonEKS-Hours:perCluster"),
    "eks.extended": Query("AmazonEKS", "AmazonEKS-Hours:extendedSupport"),
    "ebs.gp3": Query("AmazonEC2", "EBS:VolumeUsage.gp3"),
    "ebs.gp3.iops": Query("AmazonEC2", "EBS:VolumeP-IOPS.gp3"),
    "nat.hour": Query("AmazonEC2", "NatGateway-Hours"),
    "nat.gb": Query("AmazonEC2", "NatGateway-Bytes"),
    "ipv4": Query("AmazonVPC", "PublicIPv4:InUseAddress"),
    "endpoint.hour": Query("AmazonVPC", "VpcEndpoint-Hours"),
    "alb.hour": Query("AWSELB", "LoadBalancerUsage", family="Load Balancer-Application"),
    "alb.lcu": Query("AWSELB", "LCUUsage", family="Load Balancer-Application"),
    "nlb.hour": Query("AWSELB", "LoadBalancerUsage", family="Load Balancer-Network"),
    "nlb.nlcu": Query("AWSELB", "LCUUsage", family="Load Balancer-Network"),
    "rds.db.t4g.micro": Query("AmazonRDS", "InstanceUsage:db.t4g.micro", _SINGLE),
    "rds.db.t4g.small": Query("AmazonRDS", "InstanceUsage:db.t4g.small", _SINGLE),
    "rds.gp3": Query("AmazonRDS", "RDS:GP3-Storage", _SINGLE),
    "logs.in": Query("AmazonCloudWatch", "DataProcessing-Bytes"),
    "logs.stored": Query("AmazonCloudWatch", "TimedStorage-ByteHrs"),
    "egress": Query("AWSDataTransfer", "DataTransfer-Out-Bytes"),
    "cross-az": Query("AWSDataTransfer", "DataTransfer-Regional-Bytes"),
    "s3.stored": Query("AmazonS3", "TimedStorage-ByteHrs"),
    "ecr.stored": Query("AmazonECR", "TimedStorage-ByteHrs"),
    "kms.key": Query("awskms", "KMS-Keys"),
    "codebuild.minute": Query("CodeBuild", "Build-Min:Linux:g1.small"),
    "hosted-zone": Query("AmazonRoute53", "HostedZone"),
}
"""The items that are asked for; those that no usage type is known of stay as they are."""

_INSTANCE: Final = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}
# by which attribute a service's products say where they are: transfers go from one place to another (Price
# List, AWSDataTransfer), and lists that are the same in every region say so, or nothing
_PLACE: Final[Mapping[str, str | None]] = {"AWSDataTransfer": "fromRegionCode", "AmazonRoute53": None}


@dataclass(frozen=True)
class Change:
    """A rate before and after, in USD; least and most of it where the market decides."""

    key: str
    before: float | None
    after: float
    before_range: tuple[float, float] | None = None
    after_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class ZonePrice:
    """Spot in one zone during the days that were looked at: least, mean and most, USD an hour."""

    instance_type: str
    zone: str
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Refreshed:
    """The new catalogue's document. `kept` names what was not found, with the reason."""

    document: Mapping[str, Any]
    changed: tuple[Change, ...]
    confirmed: tuple[str, ...]
    kept: tuple[tuple[str, str], ...]
    spot: tuple[ZonePrice, ...] = ()


class Unclear(Exception):  # noqa: N818 - not an error of the run: the rate is kept
    """There is no single answer; the text says why."""


def refresh(document: Mapping[str, Any], source: PriceSource, *, region: str, now: datetime) -> Refreshed:
    """Ask for every rate of `region`. Raises what `source` raises when nothing can be asked at all."""
    found = _Refreshing(copy.deepcopy(dict(document)), source, region, now)
    found.items()
    found.instances()
    found.spot()
    found.windows()
    found.document["sources"] = {**found.document["sources"], **_SOURCES}
    found.document["refreshed"] = {**found.document.get("refreshed", {}), region: rfc3339(now)}
    return Refreshed(
        found.document,
        tuple(found.changed),
        tuple(found.confirmed),
        tuple(found.kept),
        tuple(found.zones),
    )


def write_catalogue(path: Path, refreshed: Refreshed) -> None:
    """Keep the document; `Catalogue.load` takes each rate from it that is newer than the shipped one."""
    write_private(path, (json.dumps(refreshed.document, indent=1, sort_keys=True) + "\n").encode())


def update_document(refreshed: Refreshed, *, region: str, at: datetime) -> dict[str, Any]:
    """The `zave/prices/v1` document."""
    return {
        "schema": "zave/prices/v1",
        "region": region,
        "at": rfc3339(at),
        "changed": [
            {
                "item": change.key,
                "before": change.before,
                "after": change.after,
                "before_range": _range_document(change.before_range),
                "after_range": _range_document(change.after_range),
            }
            for change in refreshed.changed
        ],
        "confirmed": list(refreshed.confirmed),
        "not_found": [{"item": key, "reason": reason} for key, reason in refreshed.kept],
        "spot": [asdict(price) for price in refreshed.spot],
    }


def _range_document(spread: tuple[float, float] | None) -> dict[str, float] | None:
    return None if spread is None else {"low": spread[0], "high": spread[1]}


@dataclass
class _Refreshing:
    document: dict[str, Any]
    source: PriceSource
    region: str
    now: datetime
    changed: list[Change] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    kept: list[tuple[str, str]] = field(default_factory=list)
    zones: list[ZonePrice] = field(default_factory=list)

    def items(self) -> None:
        for key, item in self.document["items"].items():
            query = QUERIES.get(key)
            if query is None:
                self.kept.append((key, "no usage type of the Price List is known for it"))
                continue
            with _Kept(self, key):
                self._take(key, item["rates"], self.region, self._rate(query))

    def instances(self) -> None:
        for name, known in self.document["instances"].items():
            query = Query("AmazonEC2", f"BoxUsage:{name}", {"instanceType": name, **_INSTANCE})
            with _Kept(self, f"{name} on-demand"):
                rates = known.setdefault(self.region, {})
                self._take(f"{name} on-demand", rates, "on_demand", self._rate(query))

    def spot(self) -> None:
        names = list(self.document["instances"])
        told: dict[str, dict[str, list[float]]] = {}
        for price in self.source.spot(names, since=self.now - SPOT_WINDOW):
            told.setdefault(price.instance_type, {}).setdefault(price.zone, []).append(price.usd)
        for name in names:
            zones = {zone: _spread(prices) for zone, prices in sorted(told.get(name, {}).items())}
            if not zones:
                self.kept.append((f"{name} spot", "nobody was offered any in the last seven days"))
                continue
            self.zones += [ZonePrice(name, zone, **spread) for zone, spread in zones.items()]
            rate = {
                "usd": _rounded(sum(zone["mean"] for zone in zones.values()) / len(zones)),
                "low": min(zone["low"] for zone in zones.values()),
                "high": max(zone["high"] for zone in zones.values()),
                "as_of": f"{self.now:%Y-%m-%d}",
                "source": SPOT_SOURCE,
                "zones": zones,
            }
            rates = self.document["instances"][name].setdefault(self.region, {})
            self._take(f"{name} spot", rates, "spot", rate)

    def windows(self) -> None:
        windows = list(self.source.versions())
        versions = self.document["eks"]["versions"]
        for window in windows:
            versions[window.version] = {
                "standard_until": window.standard_until,
                "extended_until": window.extended_until,
            }
        if windows:
            self.document["eks"]["as_of"] = f"{self.now:%Y-%m-%d}"
        else:
            self.kept.append(("EKS support windows", "EKS names no versions"))

    def _take(self, key: str, rates: dict[str, Any], place: str, rate: dict[str, Any]) -> None:
        before = rates.get(place)
        rates[place] = rate
        usd, spread = (None, None) if before is None else (before["usd"], _ends(before))
        if usd == rate["usd"] and spread == _ends(rate):
            self.confirmed.append(key)
        else:
            self.changed.append(Change(key, usd, rate["usd"], spread, _ends(rate)))

    def _rate(self, query: Query) -> dict[str, Any]:
        """The one price of what a query finds. Raises Unclear where there is none, or more than one."""
        attribute = _PLACE.get(query.service, "regionCode")
        place = {} if attribute is None else {attribute: self.region}
        products = self.source.products(query.service, {**place, **query.attributes})
        prices = {price for product in products if _fits(product, query) for price in _prices(product)}
        if not prices:
            raise Unclear(f"{query.service} lists no {query.usage} in {self.region}")
        if len({usd for usd, _ in prices}) > 1:
            told = ", ".join(f"{usd:g}" for usd in sorted({usd for usd, _ in prices}))
            raise Unclear(f"{query.service} lists several prices for {query.usage}: {told}")
        usd, published = max(prices)
        return {
            "usd": usd,
            "as_of": f"{self.now:%Y-%m-%d}",
            "source": LIST_SOURCE,
            "published": published,
        }


@dataclass
class _Kept:
    """Keeps a rate whose answer is not to be had; what stops all questions passes through."""

    refreshing: _Refreshing
    key: str

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Unclear):
            self.refreshing.kept.append((self.key, str(error)))
            return True
        if isinstance(error, StepFailedError):
            self.refreshing.kept.append((self.key, error.details or error.brief))
            return True
        return False


def _fits(product: Mapping[str, Any], query: Query) -> bool:
    described = product.get("product", {})
    attributes = described.get("attributes", {})
    if query.family and described.get("productFamily") != query.family:
        return False
    # a region's code or name and a hyphen, or nothing: not the end of some longer word
    pattern = rf"([A-Z0-9]+-|[a-z]{{2}}(-[a-z]+)+-[0-9]-)?{re.escape(query.usage)}"
    return re.fullmatch(pattern, str(attributes.get("usagetype", ""))) is not None


def _prices(product: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """The first tier of each on-demand term that is not free, with the day on which it was published."""
    published = str(product.get("publicationDate", ""))[:10]
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        tiers = sorted(term.get("priceDimensions", {}).values(), key=lambda tier: _number(tier["beginRange"]))
        for tier in tiers:
            usd = _number(tier.get("pricePerUnit", {}).get("USD", "0"))
            if usd > 0:
                yield usd, published or str(term.get("effectiveDate", ""))[:10]
                break


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0


def _ends(rate: Mapping[str, Any]) -> tuple[float, float] | None:
    """Least and most of a rate; None for one that is a single price."""
    low, high = rate.get("low", rate["usd"]), rate.get("high", rate["usd"])
    return None if low == high else (low, high)


def _spread(prices: Sequence[float]) -> dict[str, float]:
    return {"low": min(prices), "mean": _rounded(sum(prices) / len(prices)), "high": max(prices)}


def _rounded(usd: float) -> float:
    return round(usd, 6)
