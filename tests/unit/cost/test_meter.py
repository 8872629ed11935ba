"""The meter: inventory times catalogue."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue
from zave.cost.meter import (
    Span,
    ended,
    hourly,
    leak_rate,
    merged,
    meter,
    spans_of,
    total,
    totals,
    unmetered,
    unpriced,
    usd_per_hour,
    usd_per_month,
)
from zave.cost.types import BY_TIME
from zave.ports import Item

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
CATALOGUE = Catalogue.load("us-east-1")

# (type, attributes, USD an hour)
THINGS: list[tuple[str, dict[str, Any], float]] = [
    ("aws_eks_cluster", {"version": "1.35"}, 0.10),
    ("aws_eks_cluster", {"version": "1.33"}, 0.60),
    ("aws_nat_gateway", {}, 0.045),
    ("aws_eip", {}, 0.005),
    ("aws_instance", {"instance_type": "t3.large", "instance_lifecycle": "spot"}, 0.0395),
    ("aws_instance", {"instance_type": "t3.large"}, 0.0832),
    ("aws_instance", {"instance_type": "t3.large", "public_ip": "198.51.100.7"}, 0.0882),
    ("aws_ebs_volume", {"type": "gp3", "size": "20"}, 20 * 0.08 / 730),
    ("aws_ebs_volume", {"type": "gp3", "size": 20, "iops": 4000}, (20 * 0.08 + 1000 * 0.005) / 730),
    ("aws_lb", {"load_balancer_type": "network"}, 0.0225 + 0.1 * 0.006),
    ("aws_network_interface", {"public_ip": "198.51.100.8"}, 0.005),
    ("aws_db_instance", {"instance_class": "db.t4g.micro", "allocated_storage": "20"}, 0.016 + 2.3 / 730),
    ("aws_kms_key", {}, 1 / 730),
    ("aws_vpc", {}, 0.0),
    ("aws_sqs_queue", {}, 0.0),
    ("aws_eks_node_group", {}, 0.0),
    ("aws_network_interface", {"public_ip": "198.51.100.8", "instance_id": "i-1"}, 0.0),
    ("aws_network_interface", {"public_ip": "198.51.100.8", "allocation_id": "eipalloc-1"}, 0.0),
    ("aws_vpc_endpoint", {"vpc_endpoint_type": "Gateway"}, 0.0),
    ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface", "subnet_ids": "subnet-1,subnet-2"}, 0.02),
    ("aws_vpc_endpoint", {"vpc_endpoint_type": "Interface"}, 0.01),
    ("aws_lb", {}, 0.0225 + 0.1 * 0.008),
]


def _item(type_: str, attributes: Mapping[str, Any], **more: Any) -> Item:
    return Item(type=type_, id=f"{type_}-1", name="zave-demo", attributes=attributes, **more)


@pytest.mark.parametrize(("type_", "attributes", "usd"), THINGS)
def test_a_thing_costs_its_rate_by_the_hour(type_: str, attributes: dict[str, Any], usd: float) -> None:
    item = _item(type_, attributes)
    assert usd_per_hour(item, CATALOGUE, at=START) == pytest.approx(usd)
    assert leak_rate(item, CATALOGUE, at=START) == pytest.approx(usd * 24, abs=0.0001)


@pytest.mark.parametrize("type_", ["aws_s3_bucket", "aws_cloudwatch_log_group", "aws_quantum_ledger"])
def test_what_is_not_known_is_not_nothing(type_: str) -> None:
    assert usd_per_hour(_item(type_, {}), CATALOGUE, at=START) is None
    assert leak_rate(_item(type_, {}), CATALOGUE, at=START) is None


def test_a_region_without_rates_knows_the_price_of_nothing_that_has_one() -> None:
    nowhere = Catalogue.load("mars-north-1")
    for type_ in sorted(BY_TIME - {"aws_vpc_endpoint"}):
        assert usd_per_hour(_item(type_, {"instance_type": "t3.large"}), nowhere, at=START) is None
    assert usd_per_hour(_item("aws_vpc", {}), nowhere, at=START) == 0.0


def test_a_key_that_waits_for_its_deletion_costs_nothing() -> None:
    item = _item("aws_kms_key", {}, state="pending-deletion")
    assert usd_per_hour(item, CATALOGUE, at=START) == 0.0
    assert spans_of([item], since=START) == []


def test_the_bill_is_rounded_for_each_thing_by_itself() -> None:
    spans = [Span("aws_nat_gateway", f"nat-{number}", START) for number in range(3)]
    spans.append(Span("aws_eks_cluster", "c", START, attributes={"version": "1.35"}))
    charges = meter(spans, now=START + timedelta(minutes=90), catalogue=CATALOGUE)
    assert total(charges).expected == pytest.approx(3 * 2 * 0.045 + 1.5 * 0.10)


def test_an_ended_span_costs_no_more() -> None:
    span = Span("aws_instance", "i", START, START + HOUR, {"instance_type": "m6i.large"})
    for later in (HOUR, 2 * HOUR, 999 * HOUR):
        charge = total(meter([span], now=START + later, catalogue=CATALOGUE))
        assert charge.expected == pytest.approx(0.096)


def test_extended_support_begins_with_the_window_s_end() -> None:
    span = Span("aws_eks_cluster", "c", datetime(2026, 12, 1, tzinfo=UTC), attributes={"version": "1.34"})
    before = total(meter([span], now=datetime(2026, 12, 2, tzinfo=UTC), catalogue=CATALOGUE))
    after = total(meter([span], now=datetime(2026, 12, 3, tzinfo=UTC), catalogue=CATALOGUE))
    assert before.expected == pytest.approx(24 * 0.10)
    assert after.expected - before.expected == pytest.approx(24 * 0.60)
    at = [hourly([span], now=datetime(2026, 12, day, tzinfo=UTC), catalogue=CATALOGUE) for day in (1, 3)]
    assert [found.expected for found in at] == pytest.approx([0.10, 0.60])


def test_a_cluster_that_aws_upgrades_is_charged_more_only_if_it_was_made_too_late() -> None:
    late = {"version": "1.34", "upgrade_policy": "STANDARD"}
    over = datetime(2026, 12, 2, tzinfo=UTC)
    for begun, rate in ((over - HOUR, 0.10), (over, 0.60)):
        span = Span("aws_eks_cluster", "c", begun, attributes=late)
        found = total(meter([span], now=begun + 24 * HOUR, catalogue=CATALOGUE))
        assert found.expected == pytest.approx(24 * rate)
        assert hourly([span], now=begun + 24 * HOUR, catalogue=CATALOGUE).expected == pytest.approx(rate)


def test_spot_is_metered_as_a_range() -> None:
    span = Span(
        "aws_instance", "i", START, attributes={"instance_type": "t3.large", "instance_lifecycle": "spot"}
    )
    found = total(meter([span], now=START + 10 * HOUR, catalogue=CATALOGUE))
    assert (found.low, found.expected, found.high) == pytest.approx((0.321, 0.395, 0.484))


def test_charges_are_summed_by_owner() -> None:
    spans = [
        Span("aws_eip", name, START, owner=owner) for name, owner in (("1", "a"), ("2", "b"), ("3", "a"))
    ]
    found = totals(meter(spans, now=START + 10 * HOUR, catalogue=CATALOGUE))
    assert {owner: usd.expected for owner, usd in found.items()} == pytest.approx({"a": 0.10, "b": 0.05})


def test_a_span_begins_when_the_platform_says_or_else_with_the_instance() -> None:
    told = _item("aws_eip", {}, created_at=rfc3339(START + HOUR), owner="demo")
    spans = spans_of([told, _item("aws_nat_gateway", {})], since=START)
    assert [span.start for span in spans] == [START + HOUR, START]
    assert spans[0].owner == "demo"


def test_what_is_gone_between_two_looks_ended_with_the_second() -> None:
    kept = [Span("aws_instance", "i-1", START), Span("aws_instance", "i-2", START)]
    seen = [Span("aws_instance", "i-2", START), Span("aws_instance", "i-3", START + HOUR)]
    found = merged(kept, seen, now=START + 2 * HOUR)
    assert {(span.id, span.end) for span in found} == {
        ("i-1", START + 2 * HOUR),
        ("i-2", None),
        ("i-3", None),
    }
    again = merged(found, seen, now=START + 3 * HOUR)
    assert {(span.id, span.end) for span in again} == {(span.id, span.end) for span in found}


def test_names_what_it_cannot_price_and_what_it_cannot_see() -> None:
    spans = [
        Span("aws_instance", "i", START, attributes={"instance_type": "x9.large"}),
        Span("aws_quantum_ledger", "q", START),
        Span("aws_sqs_queue", "s", START),
        Span("aws_vpc", "v", START),
    ]
    assert unpriced(spans, CATALOGUE) == [
        "aws_quantum_ledger: zave has no price for this type",
        "instance x9.large: no rate for us-east-1",
    ]
    assert unmetered(spans) == ["aws_sqs_queue: requests"]


def test_standing_parts_are_what_the_table_says() -> None:
    standing = ("aws_kms_key", "aws_ecr_repository", "aws_s3_bucket", "aws_sqs_queue", "aws_iam_role")
    usd = [usd_per_month(_item(type_, {}), CATALOGUE, at=START) for type_ in standing]
    assert sum(each or 0.0 for each in usd) == pytest.approx(1.51, abs=0.001)
    assert usd_per_month(_item("aws_dynamodb_table", {}), CATALOGUE, at=START) is None


def test_a_span_survives_being_kept() -> None:
    span = Span("aws_ebs_volume", "vol-1", START, START + HOUR, {"type": "gp3", "size": "8"}, "demo")
    assert Span.from_document(span.document()) == span
    assert Span.from_document(replace(span, end=None).document()).end is None


@st.composite
def _spans(draw: st.DrawFn) -> Span:
    type_, attributes, _ = draw(st.sampled_from(THINGS))
    start = START + timedelta(seconds=draw(st.integers(0, 400_000)))
    length = draw(st.none() | st.integers(0, 400_000))
    end = None if length is None else start + timedelta(seconds=length)
    return Span(type_, draw(st.text("ab", max_size=3)), start, end, attributes, draw(st.sampled_from("ab")))


_LISTS = st.lists(_spans(), max_size=8)
_SECONDS = st.integers(-400_000, 900_000)


@given(spans=_LISTS, first=_SECONDS, more=st.integers(0, 900_000))
def test_a_bill_never_shrinks_with_time(spans: list[Span], first: int, more: int) -> None:
    now = START + timedelta(seconds=first)
    early = total(meter(spans, now=now, catalogue=CATALOGUE))
    late = total(meter(spans, now=now + timedelta(seconds=more), catalogue=CATALOGUE))
    assert 0 <= early.low <= early.expected <= early.high
    for name in ("low", "expected", "high"):
        assert getattr(early, name) <= getattr(late, name) + 1e-9


@given(spans=_LISTS, other=_LISTS, seconds=_SECONDS)
def test_bills_add_up(spans: list[Span], other: list[Span], seconds: int) -> None:
    now = START + timedelta(seconds=seconds)
    parts = [total(meter(each, now=now, catalogue=CATALOGUE)).expected for each in (spans, other)]
    charges = meter([*spans, *other], now=now, catalogue=CATALOGUE)
    assert total(charges).expected == pytest.approx(sum(parts))
    assert sum(usd.expected for usd in totals(charges).values()) == pytest.approx(sum(parts))


@given(spans=_LISTS, seconds=st.integers(0, 900_000))
def test_a_bill_is_at_least_the_time_that_passed_at_the_hourly_rate(spans: list[Span], seconds: int) -> None:
    started = [replace(span, start=START, end=None) for span in spans]
    rate = hourly(started, now=START, catalogue=CATALOGUE)
    bill = total(meter(started, now=START + timedelta(seconds=seconds), catalogue=CATALOGUE))
    assert bill.expected >= rate.expected * seconds / 3600 - 1e-9


@given(spans=_LISTS)
def test_after_the_end_nothing_is_added(spans: list[Span]) -> None:
    closed = ended(spans, at=START + timedelta(days=30))
    bills = [
        total(meter(closed, now=START + timedelta(days=days), catalogue=CATALOGUE)) for days in (30, 31, 300)
    ]
    assert bills[0] == bills[1] == bills[2]
