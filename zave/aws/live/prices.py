"""Prices as AWS tells them: Price List, spot history, EKS's calendar."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from zave.aws.live.api import Api
from zave.ports.prices import SpotPrice, VersionWindow

# the Price List is asked in three regions only, whichever region it is asked about (AWS Billing user guide)
_PLACE = "us-east-1"
_LINUX = "Linux/UNIX"


class LivePrices:
    """Implements `zave.ports.prices.PriceSource`. Asking is free of charge."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def products(self, service: str, attributes: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        """Products of the Price List with these attributes."""
        filters = [
            {"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in attributes.items()
        ]
        client = self._api.client("pricing", region=_PLACE)
        with self._api.told("pricing", "get_products"):
            pages = client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
            for page in pages:
                yield from map(json.loads, page["PriceList"])

    def spot(self, instance_types: Sequence[str], *, since: datetime) -> Iterator[SpotPrice]:
        """Spot prices of Linux in this region."""
        pages = self._api.pages(
            "ec2",
            "describe_spot_price_history",
            InstanceTypes=list(instance_types),
            ProductDescriptions=[_LINUX],
            StartTime=since,
        )
        for page in pages:
            for each in page["SpotPriceHistory"]:
                yield SpotPrice(
                    each["InstanceType"],
                    each["AvailabilityZone"],
                    float(each["SpotPrice"]),
                    each["Timestamp"],
                )

    def versions(self) -> Iterator[VersionWindow]:
        """The versions of EKS, those included that only extended support is left for."""
        for page in self._api.pages("eks", "describe_cluster_versions", includeAll=True):
            for each in page["clusterVersions"]:
                yield VersionWindow(
                    each["clusterVersion"],
                    _day(each.get("endOfStandardSupportDate")),
                    _day(each.get("endOfExtendedSupportDate")),
                )


def _day(moment: datetime | None) -> str | None:
    """The day in UTC, as AWS means it: botocore tells a timestamp in the machine's own time zone."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d}"
