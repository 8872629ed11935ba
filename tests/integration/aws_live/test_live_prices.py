"""`prices update` by boto3 against a Price List of the documented shape."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.integration.aws_live.price_list import PriceList, price_list
from zave.aws.live.api import Api
from zave.aws.live.prices import LivePrices
from zave.cost.catalogue import Catalogue, load_document
from zave.cost.estimate import estimate
from zave.cost.update import QUERIES, Refreshed, refresh, update_document, write_catalogue
from zave.errors import PreconditionError
from zave.schemas import load_schema
from zave.spec.load import parse_spec
from zave.ui.prices import render_prices

REGION = "eu-west-1"
NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
HERE = {"regionCode": REGION}
# where products of these services say that they are: transfers go from a place to another
ELSEWHERE: dict[str, dict[str, str]] = {
    "AWSDataTransfer": {"fromRegionCode": REGION, "fromLocation": "EU (Ireland)"},
    "AmazonRoute53": {},
}
LINUX = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
}


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[PriceList, Api]]:
    """One server, and one set of clients, for all tests."""
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    with price_list() as told:
        yield told, Api(region=REGION, endpoint_url=told.url, attempts=1)


@pytest.fixture
def told(serving: tuple[PriceList, Api], monkeypatch: pytest.MonkeyPatch) -> PriceList:
    """A list that has a price for everything: that of the shipped catalogue."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    told = serving[0]
    told.api = serving[1]
    told.products, told.spot, told.refuse = [], [], set()
    document = load_document()
    for key, query in QUERIES.items():
        usd = str(document["items"][key]["rates"][REGION]["usd"])
        place = ELSEWHERE.get(query.service, HERE)
        family = {"family": query.family} if query.family else {}
        prefix = f"{REGION}-" if query.service == "awskms" else "EU-"
        usage = query.usage if query.service == "AmazonRoute53" else f"{prefix}{query.usage}"
        told.add(query.service, usage, ("0", usd), **place, **query.attributes, **family)
    for name, known in document["instances"].items():
        usd = str(known[REGION]["on_demand"]["usd"])
        told.add("AmazonEC2", f"EU-BoxUsage:{name}", ("0", usd), instanceType=name, **HERE, **LINUX)
        told.spot += [(name, "eu-west-1a", "0.02"), (name, "eu-west-1a", "0.04")]
        told.spot += [(name, "eu-west-1b", "0.05")]
    told.versions = [
        {
            "clusterVersion": "1.37",
            "endOfStandardSupportDate": 1829347200,
            "endOfExtendedSupportDate": 1860883200,
        }
    ]
    return told


def update(told: PriceList) -> Refreshed:
    assert told.api is not None
    return refresh(load_document(), LivePrices(told.api), region=REGION, now=NOW)


def change(told: PriceList, usage: str, usd: str, *more: tuple[str, str]) -> None:
    """Let the product with this usage type cost something else."""
    for number, each in enumerate(told.products):
        attributes = each["product"]["attributes"]
        if attributes["usagetype"].endswith(usage):
            told.products.pop(number)
            kept = {k: v for k, v in attributes.items() if k not in ("servicecode", "usagetype")}
            tiers = [*more, ("9", usd)] if more else [("0", usd)]
            told.add(each["serviceCode"], attributes["usagetype"], *tiers, **kept)
            return
    raise AssertionError(usage)


def test_every_rate_is_asked_for_or_named_as_not_found(told: PriceList) -> None:
    refreshed = update(told)
    document = load_document()
    named = {key for key, _ in refreshed.kept}
    confirmed = set(refreshed.confirmed) | {change.key for change in refreshed.changed}
    assert named | confirmed == (
        set(document["items"])
        | {f"{name} {market}" for name in document["instances"] for market in ("on-demand", "spot")}
    )
    assert named == set(document["items"]) - set(QUERIES)
    assert all(reason for _, reason in refreshed.kept)
    # what did not change is dated anew all the same
    assert set(QUERIES) - {"endpoint.hour"} <= set(refreshed.confirmed)
    # sources differed about this one, and AWS names a single price
    (settled,) = [change for change in refreshed.changed if change.key == "endpoint.hour"]
    assert (settled.before_range is None, settled.after_range) == (False, None)
    rate = refreshed.document["items"]["nat.hour"]["rates"][REGION]
    assert rate == {
        "usd": 0.048,
        "as_of": "2026-12-02",
        "source": "aws-price-list",
        "published": "2026-12-01",
    }


def test_the_other_regions_and_what_was_not_found_stay_as_they_were(told: PriceList) -> None:
    told.products = [each for each in told.products if each["serviceCode"] != "AmazonEKS"]
    before, after = load_document(), update(told).document
    for key, item in before["items"].items():
        assert after["items"][key]["rates"].get("us-east-1") == item["rates"].get("us-east-1")
    assert after["items"]["eks.cluster"] == before["items"]["eks.cluster"]


def test_a_changed_rate_shows_in_a_plan(told: PriceList, tmp_path: Path) -> None:
    change(told, "AmazonEKS-Hours:perCluster", "0.25")
    refreshed = update(told)
    (changed,) = [each for each in refreshed.changed if each.key == "eks.cluster"]
    assert (changed.before, changed.after) == (0.1, 0.25)
    kept = tmp_path / "prices.json"
    write_catalogue(kept, refreshed)
    assert kept.stat().st_mode & 0o777 == 0o600
    dearer = _month(Catalogue.load(REGION, refreshed=kept)) - _month(Catalogue.load(REGION))
    assert dearer == pytest.approx(0.15 * 730, abs=0.01)
    rate = Catalogue.load(REGION, refreshed=kept).rate("eks.cluster")
    assert rate is not None
    assert rate.as_of == "2026-12-02"
    assert "Price List" in rate.source


def _month(catalogue: Catalogue) -> float:
    """The cluster's line of an estimate, USD a month."""
    given = {
        "platform": "aws-eks",
        "owner": "me@example.org",
        "notify": {"email": "me@example.org"},
        "aws": {"region": REGION},
        "eks": {"public_cidrs": ["203.0.113.7/32"]},
        "gitops": {"repository": "https://git.example.org/me/platform.git"},
    }
    spec = parse_spec(json.dumps(given), where="a test")
    assert spec.platform == "aws-eks"
    values = {"name": "zave-demo", "version": "1.35", "upgrade_policy": [{"support_type": "STANDARD"}]}
    resource = {
        "address": "module.eks.aws_eks_cluster.this",
        "mode": "managed",
        "type": "aws_eks_cluster",
        "name": "this",
        "values": values,
    }
    plan: dict[str, Any] = {"planned_values": {"root_module": {"resources": [resource]}}}
    found = estimate(plan, spec, ttl_hours=48, at=NOW, catalogue=catalogue)
    lines = found.document()["lines"]
    usd: float = sum(line["usd_month"] for line in lines if line["item"].startswith("EKS cluster"))
    return usd


def test_spot_is_told_as_least_mean_and_most_of_each_zone(told: PriceList) -> None:
    rate = update(told).document["instances"]["t3.large"][REGION]["spot"]
    assert rate["zones"] == {
        "eu-west-1a": {"low": 0.02, "mean": 0.03, "high": 0.04},
        "eu-west-1b": {"low": 0.05, "mean": 0.05, "high": 0.05},
    }
    assert (rate["low"], rate["usd"], rate["high"]) == (0.02, 0.04, 0.05)
    node = Catalogue(update(told).document, region=REGION).node("t3.large", spot=True)
    assert node is not None
    assert (node.usd.low, node.usd.expected, node.usd.high) == (0.02, 0.04, 0.05)


def test_the_first_tier_that_is_not_free_counts(told: PriceList) -> None:
    change(told, "DataTransfer-Out-Bytes", "0.085", ("100", "0.09"), ("0", "0.0000000000"))
    assert update(told).document["items"]["egress"]["rates"][REGION]["usd"] == 0.085
    change(told, "DataTransfer-Out-Bytes", "0.09", ("0", "0.0000000000"), ("10240", "0.085"))
    assert update(told).document["items"]["egress"]["rates"][REGION]["usd"] == 0.09


def test_a_usage_type_that_only_ends_alike_is_not_the_one(told: PriceList) -> None:
    told.add("AmazonRDS", "EU-Multi-AZ-RDS:GP3-Storage", ("0", "9"), **HERE, **QUERIES["rds.gp3"].attributes)
    told.add("AmazonS3", "EU-INT-TimedStorage-ByteHrs", ("0", "9"), **HERE)
    rates = update(told).document["items"]
    assert rates["rds.gp3"]["rates"][REGION]["usd"] == 0.127
    assert rates["s3.stored"]["rates"][REGION]["usd"] == 0.023


def test_of_several_prices_none_is_guessed(told: PriceList) -> None:
    told.add("AmazonEC2", "EU-NatGateway-Hours", ("0", "0.099"), **HERE)
    refreshed = update(told)
    assert dict(refreshed.kept)["nat.hour"].startswith("AmazonEC2 lists several prices")
    assert refreshed.document["items"]["nat.hour"] == load_document()["items"]["nat.hour"]


def test_a_list_that_may_not_be_seen_keeps_its_rates_and_says_so(told: PriceList) -> None:
    told.refuse = {"AmazonRDS"}
    refreshed = update(told)
    assert "AccessDenied" in dict(refreshed.kept)["rds.gp3"]
    assert "nat.hour" in refreshed.confirmed


def test_versions_of_eks_are_taken_over(told: PriceList) -> None:
    support = Catalogue(update(told).document, region=REGION).support("1.37")
    assert support is not None
    assert f"{support.standard_until:%Y-%m-%d}" == "2027-12-21"


def test_the_day_on_which_support_ends_is_told_in_utc(
    told: PriceList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        # 2027-12-21T00:00:00Z, which is the evening before in New York
        support = Catalogue(update(told).document, region=REGION).support("1.37")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert support is not None
    assert f"{support.standard_until:%Y-%m-%d}" == "2027-12-21"


def test_what_moves_from_another_region_is_not_this_ones_price(told: PriceList) -> None:
    told.add("AWSDataTransfer", "EU-DataTransfer-Out-Bytes", ("0", "9"), fromRegionCode="us-east-1")
    refreshed = update(told)
    assert {"egress", "cross-az"} <= set(refreshed.confirmed)


def test_without_the_network_nothing_is_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    api = Api(region=REGION, endpoint_url="http://127.0.0.1:9", attempts=1)
    with pytest.raises(PreconditionError, match="cannot be reached"):
        refresh(load_document(), LivePrices(api), region=REGION, now=NOW)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sources": {}}'])
def test_a_damaged_file_is_as_good_as_none(content: str, tmp_path: Path) -> None:
    kept = tmp_path / "prices.json"
    kept.write_text(content)
    assert load_document(kept) == load_document()


def test_a_newer_zave_ships_what_an_older_update_did_not_know(told: PriceList, tmp_path: Path) -> None:
    change(told, "AmazonEKS-Hours:perCluster", "0.25")
    old = json.loads(json.dumps(update(told).document))
    old["items"]["eks.cluster"]["rates"][REGION]["as_of"] = "2020-01-01"
    kept = tmp_path / "prices.json"
    kept.write_text(json.dumps(old))
    assert load_document(kept)["items"]["eks.cluster"] == load_document()["items"]["eks.cluster"]


def test_the_update_is_told_as_a_document(told: PriceList) -> None:
    change(told, "AmazonEKS-Hours:perCluster", "0.25")
    document = update_document(update(told), region=REGION, at=NOW)
    single = {"before_range": None, "after_range": None}
    assert {"item": "eks.cluster", "before": 0.1, "after": 0.25, **single} in document["changed"]
    assert document["schema"] == "zave/prices/v1"
    assert {each["item"] for each in document["not_found"]} >= {"scheduler", "secret"}
    Draft202012Validator(load_schema("prices")).validate(document)


def test_spot_is_shown_zone_by_zone(told: PriceList) -> None:
    document = update_document(update(told), region=REGION, at=NOW)
    assert {
        "instance_type": "t3.large",
        "zone": "eu-west-1a",
        "low": 0.02,
        "mean": 0.03,
        "high": 0.04,
    } in document["spot"]
    shown = render_prices(document)
    (row,) = [line.split() for line in shown.splitlines() if "t3.large" in line and "eu-west-1b" in line]
    assert row == ["t3.large", "eu-west-1b", "0.05", "0.05", "0.05"]


def test_a_mean_that_stays_while_its_ends_move_is_a_change(told: PriceList) -> None:
    assert told.api is not None
    first = update(told)
    told.spot = [
        (name, zone, {"0.02": "0.01", "0.04": "0.05"}.get(usd, usd)) for name, zone, usd in told.spot
    ]
    again = refresh(dict(first.document), LivePrices(told.api), region=REGION, now=NOW)
    (change,) = [each for each in again.changed if each.key == "t3.large spot"]
    assert change.before == change.after == 0.04
    assert (change.before_range, change.after_range) == ((0.02, 0.05), (0.01, 0.05))
    document = update_document(again, region=REGION, at=NOW)
    assert "0.04 (0.02 to 0.05)" in render_prices(document)
    # and one that nothing moved is none
    same = refresh(dict(again.document), LivePrices(told.api), region=REGION, now=NOW)
    assert not same.changed
