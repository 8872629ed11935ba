"""What AWS has billed so far, by Cost Explorer: some 24 hours late, and 0.01 USD a request.

Prices and lag: AWS Cost Management user guide, and facts.md of 2026-11-23.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zave.aws.live.api import Api

USD_PER_REQUEST = 0.01
# whichever region it is asked about
_PLACE = "us-east-1"
# a page holds months of a demo's days: more would be somebody else's account
_MOST_PAGES = 5


@dataclass(frozen=True)
class Billed:
    """USD by service from `since` until `until` (days, the last one not counted). `requests` cost as well."""

    since: str
    until: str
    services: Mapping[str, float]
    requests: int

    def document(self) -> dict[str, Any]:
        """The part `actual` of `zave/cost/v1`."""
        lines = sorted(self.services.items(), key=lambda line: -line[1])
        return {
            "since": self.since,
            "until": self.until,
            "usd": round(sum(self.services.values()), 4),
            "services": [{"service": name, "usd": round(usd, 4)} for name, usd in lines],
            "requests": self.requests,
            "usd_of_requests": round(self.requests * USD_PER_REQUEST, 2),
        }


def billed(api: Api, *, instance: str, since: datetime, until: datetime) -> Billed:
    """What was billed for everything that carries the instance's tag.

    Nothing is found while the tag `zave:instance` is not activated as a cost allocation tag in the
    account. Raises RefusedError where the caller may not ask.
    """
    # the end is not counted, so that today needs tomorrow
    first, last = f"{since:%Y-%m-%d}", f"{until + timedelta(days=1):%Y-%m-%d}"
    client = api.client("ce", region=_PLACE)
    services: dict[str, float] = {}
    more: dict[str, str] = {}
    requests = 0
    while requests < _MOST_PAGES:
        with api.told("ce", "get_cost_and_usage"):
            answer = client.get_cost_and_usage(
                TimePeriod={"Start": first, "End": last},
                Granularity="DAILY",
                Metrics=["UnblendedCost"],
                Filter={"Tags": {"Key": "zave:instance", "Values": [instance]}},
                GroupBy=[{"Type": "DIMENSION", "Key": "SERVICE"}],
                **more,
            )
        requests += 1
        for day in answer["ResultsByTime"]:
            for group in day.get("Groups", ()):
                name = str(group["Keys"][0])
                usd = float(group["Metrics"]["UnblendedCost"]["Amount"])
                services[name] = services.get(name, 0.0) + usd
        if not answer.get("NextPageToken"):
            break
        more = {"NextPageToken": answer["NextPageToken"]}
    return Billed(first, last, services, requests)
