"""The shipped price data, and how AWS rounds time."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import zave.cost.catalogue
from zave.cost.catalogue import MONTH_HOURS, Catalogue, Range, Rate
from zave.cost.types import BILLABLE, BY_TIME, FREE, PER_USE, STARTERS, STORED

DATA = json.loads((Path(zave.cost.catalogue.__file__).parent / "prices" / "aws.json").read_text())
US, EU = "us-east-1", "eu-west-1"


def _rates() -> list[tuple[str, dict[str, Any]]]:
    found = [
        (f"{key} in {region}", rate)
        for key, item in DATA["items"].items()
        for region, rate in item["rates"].items()
    ]
    for name, instance in DATA["instances"].items():
        for region in (US, EU):
            found += [(f"{name} {market} in {region}", rate) for market, rate in instance[region].items()]
    return found


@pytest.mark.parametrize(
    ("what", "rate"), _rates(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_rate_has_a_date_and_a_source(what: str, rate: dict[str, Any]) -> None:
    assert DATA["sources"][rate["source"]], what
    assert rate["usd"] > 0
    assert rate.get("low", rate["usd"]) <= rate["usd"] <= rate.get("high", rate["usd"])
    year, month, *day = (int(part) for part in rate["as_of"].split("-"))
    assert date(year, month, *day or [1]) <= date.fromisoformat(DATA["collected"])


@pytest.mark.parametrize(
    ("key", "us", "eu"),
    [
        ("eks.cluster", 0.10, 0.10),
        ("eks.extended", 0.50, 0.50),
        ("ebs.gp3", 0.08, 0.088),
        ("nat.hour", 0.045, 0.048),
        ("ipv4", 0.005, 0.005),
        ("nlb.nlcu", 0.006, 0.006),
        ("rds.db.t4g.small", 0.032, 0.035),
        ("logs.in", 0.50, 0.57),
        ("kms.key", 1.00, 1.00),
        ("dynamodb.write", 0.625, None),
        ("no.such.item", None, None),
    ],
)
def test_rates_are_those_that_were_collected(key: str, us: float | None, eu: float | None) -> None:
    for region, expected in ((US, us), (EU, eu)):
        rate = Catalogue.load(region).rate(key)
        assert (None if rate is None else rate.usd.expected) == expected


def test_spot_is_a_range_and_on_demand_is_not() -> None:
    catalogue = Catalogue.load(US)
    spot, dear = catalogue.node("t3.large", spot=True), catalogue.node("t3.large", spot=False)
    assert spot is not None
    assert dear is not None
    assert spot.usd == Range(0.0321, 0.0395, 0.0484)
    assert dear.usd == Range.of(0.0832)
    assert catalogue.node("m7g.large", spot=True) is None
    assert catalogue.node("x9.large", spot=False) is None


def test_a_region_that_nobody_priced_has_no_rates() -> None:
    catalogue = Catalogue.load("mars-north-1")
    assert all(catalogue.rate(key) is None for key in DATA["items"])
    assert all(catalogue.node(name, spot=False) is None for name in DATA["instances"])


def test_support_windows_have_dates() -> None:
    catalogue = Catalogue.load(US)
    standard, extended = catalogue.support("1.35"), catalogue.support("1.33")
    assert standard is not None
    assert extended is not None
    assert f"{standard.standard_until:%Y-%m-%d}" == "2027-03-27"
    assert (extended.standard_until, f"{extended.extended_until:%Y-%m-%d}") == (None, "2027-07-29")
    assert catalogue.support("1.99") is None


def test_tables_of_types_do_not_overlap() -> None:
    tables = (BY_TIME, STORED.keys(), PER_USE.keys(), STARTERS.keys(), FREE.keys())
    assert sum(len(table) for table in tables) == len(frozenset().union(*tables))
    assert frozenset() == BILLABLE & FREE.keys()
    assert {"aws_eks_cluster", "aws_eks_node_group", "aws_nat_gateway", "aws_kms_key"} <= BILLABLE
    assert all(FREE.values())


def _rate(key: str) -> Rate:
    found = Catalogue.load(US).rate(key)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("key", "seconds", "hours"),
    [
        ("nat.hour", 1, 1),
        ("nat.hour", 3600, 1),
        ("nat.hour", 3601, 2),
        ("nlb.hour", 5400, 2),
        ("eks.cluster", 5400, 1.5),
        ("eks.cluster", 1, 1 / 3600),
        ("ebs.gp3", 1, 60 / 3600),
        ("rds.db.t4g.micro", 1, 600 / 3600),
    ],
)
def test_time_is_rounded_as_aws_does(key: str, seconds: int, hours: float) -> None:
    assert _rate(key).billed_hours(timedelta(seconds=seconds)) == pytest.approx(hours)


def test_an_instance_is_billed_for_a_minute_at_least() -> None:
    rate = Catalogue.load(US).node("t3.large", spot=True)
    assert rate is not None
    assert rate.billed_hours(timedelta(seconds=5)) == pytest.approx(60 / 3600)
    assert rate.billed_hours(timedelta(seconds=61)) == pytest.approx(61 / 3600)


_KEYS = st.sampled_from([key for key, item in DATA["items"].items() if "rounding" in item])
_SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))


@given(key=_KEYS, spent=_SPANS, more=_SPANS)
def test_billed_time_never_shrinks_and_never_falls_short(key: str, spent: timedelta, more: timedelta) -> None:
    rate = _rate(key)
    billed = rate.billed_hours(spent)
    assert billed >= spent / timedelta(hours=1)
    assert billed <= rate.billed_hours(spent + more)
    assert billed - spent / timedelta(hours=1) <= 1 + 1e-9
    if rate.rounding == "hour":
        assert billed == int(billed)


@given(key=_KEYS, back=st.timedeltas(min_value=timedelta(days=-9), max_value=timedelta(0)))
def test_time_that_ran_backwards_is_billed_as_none(key: str, back: timedelta) -> None:
    assert _rate(key).billed_hours(back) == _rate(key).billed_hours(timedelta(0))


def test_a_month_of_what_is_bought_by_the_month_is_its_rate() -> None:
    assert _rate("kms.key").per_hour().expected * MONTH_HOURS == pytest.approx(1.00)
