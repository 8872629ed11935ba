"""Bills in a real record: kept while an instance lives, settled when it has ended, compared with 24/7."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue
from zave.cost.ledger import cost_of, keep_estimate, keep_spans, keep_standing, savings_of, settle
from zave.cost.savings import saved
from zave.ports import Item
from zave.schemas import load_schema
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore
from zave.ui.cost import render_cost
from zave.ui.savings import render_savings

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
TTL = 48 * HOUR


class SettableClock:
    def __init__(self) -> None:
        self.moment = START

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> Iterator[StateStore]:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    opened = StateStore.open(directory, clock=clock)
    yield opened
    opened.close()


def _record(name: str = "aws-demo", *, start: datetime = START, **changed: Any) -> InstanceRecord:
    values: dict[str, Any] = {
        "environment": "aws-demo",
        "platform": "aws-eks",
        "phase": "ready",
        "expires_at": start + TTL,
        "spec": {"aws": {"region": "us-east-1"}},
    }
    return InstanceRecord(name=name, created_at=start, **{**values, **changed})


def _items(owner: str = "aws-demo", *, nodes: int = 2, start: datetime = START) -> list[Item]:
    node = {"instance_type": "t3.large", "instance_lifecycle": "spot"}
    made: list[tuple[str, str, dict[str, str]]] = [
        ("aws_eks_cluster", "c", {"version": "1.35"}),
        *(("aws_instance", f"i-{number}", node) for number in range(nodes)),
    ]
    since = rfc3339(start)
    return [
        # AWS gives no id twice
        Item(type=t, id=f"{i}-{start:%d%H}", name=f"zave-{i}", attributes=a, owner=owner, created_at=since)
        for t, i, a in made
    ]


def _valid(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    Draft202012Validator(load_schema(kind)).validate(document)
    return document


def _cost(store: StateStore, record: InstanceRecord, items: list[Item], *, now: datetime) -> dict[str, Any]:
    return _valid("cost", cost_of(store, record, items, now=now, rehearsal=True))


def _live_and_die(
    store: StateStore, clock: SettableClock, record: InstanceRecord, *, hours: int, leaks: int = 0
) -> None:
    """One whole life in the record, as the lifecycle writes it."""
    clock.moment = record.created_at
    run = store.begin_run(instance=record.name, command="demo", arguments=["demo", "aws"])
    store.save_instance(record)
    keep_spans(store, record, _items(record.name, start=record.created_at), now=clock.now())
    clock.moment += hours * HOUR
    store.add_receipt(
        record.name,
        {"at": rfc3339(clock.now()), "deleted": [], "accepted": [], "leaks": [{}] * leaks},
        run.id,
    )
    if not leaks:
        settle(store, record, at=clock.now(), run_id=run.id)


def test_cost_so_far_and_at_expiry(store: StateStore) -> None:
    found = _cost(store, _record(), _items(), now=START + 10 * HOUR)
    assert found["usd_per_hour"]["expected"] == pytest.approx(0.10 + 2 * 0.0395)
    assert found["spent"]["expected"] == pytest.approx(1.79)
    assert found["at_expiry"]["expected"] == pytest.approx(48 * 0.179)
    nodes = next(line for line in found["lines"] if line["item"] == "t3.large, spot")
    assert (nodes["quantity"], nodes["usd"]) == (2, pytest.approx(0.79))
    assert nodes["usd_at_expiry"] == pytest.approx(48 * 0.079)
    assert sum(line["usd"] for line in found["lines"]) == pytest.approx(found["spent"]["expected"])


def test_what_belongs_to_others_or_stands_for_all_is_not_on_the_bill(store: StateStore) -> None:
    nobodys = Item(type="aws_nat_gateway", id="n", name="x", owner=None)
    standing = Item(type="aws_kms_key", id="k", name="zave-state", owner="aws-demo", standing=True)
    own = _cost(store, _record(), _items(), now=START + HOUR)
    crowd = _cost(store, _record(), [*_items(), *_items("b"), nobodys, standing], now=START + HOUR)
    assert own == crowd


def test_past_expiry_the_bill_goes_on(store: StateStore) -> None:
    found = _cost(store, _record(), _items(), now=START + TTL + 12 * HOUR)
    assert found["at_expiry"] == found["spent"]
    assert found["spent"]["expected"] == pytest.approx(60 * 0.179)


def test_a_node_that_was_replaced_stays_on_the_bill(store: StateStore) -> None:
    record = _record()
    store.save_instance(record)
    keep_spans(store, record, _items(nodes=2), now=START)
    keep_spans(store, record, _items(nodes=1), now=START + 5 * HOUR)
    found = _cost(store, record, _items(nodes=1), now=START + 10 * HOUR)
    assert found["spent"]["expected"] == pytest.approx(10 * 0.10 + (10 + 5) * 0.0395, abs=0.0001)
    assert found["usd_per_hour"]["expected"] == pytest.approx(0.10 + 0.0395)


def test_the_estimate_stands_beside_the_meter(store: StateStore) -> None:
    assert _cost(store, _record(), [], now=START)["estimate"] is None
    span = {"low": 10.0, "expected": 12.0, "high": 18.0}
    keep_estimate(store, "aws-demo", {"ttl": {"hours": 48, **span}, "month": {"hours": 730, **span}})
    found = _cost(store, _record(), [], now=START)
    assert found["estimate"] == {"hours": 48, **span}
    assert "$12.00 (between $10.00 and $18.00)" in render_cost(found)


def test_a_settled_bill_is_what_was_there_until_the_receipt(store: StateStore, clock: SettableClock) -> None:
    record = _record()
    _live_and_die(store, clock, record, hours=48)
    assert sum(cost.usd for cost in store.costs("aws-demo")) == pytest.approx(48 * 0.179)
    # long after: no cloud is asked, nothing is added
    found = _cost(store, record, [], now=START + 1000 * HOUR)
    assert found["spent"]["expected"] == pytest.approx(48 * 0.179)
    assert found["usd_per_hour"]["expected"] == 0
    assert {line["source"] for line in found["lines"]} != {""}


def test_settling_twice_charges_once(store: StateStore, clock: SettableClock) -> None:
    record = _record()
    _live_and_die(store, clock, record, hours=48)
    before = store.costs("aws-demo")
    assert settle(store, record, at=START + 48 * HOUR) == pytest.approx(48 * 0.179)
    assert store.costs("aws-demo") == before


def test_settling_nothing_records_nothing(store: StateStore) -> None:
    assert settle(store, _record(), at=START) == 0.0
    assert store.costs("aws-demo") == []


def test_a_second_life_does_not_touch_the_bill_of_the_first(store: StateStore, clock: SettableClock) -> None:
    later = START + 240 * HOUR
    _live_and_die(store, clock, _record(), hours=48)
    _live_and_die(store, clock, _record(start=later), hours=10)
    assert sum(cost.usd for cost in store.costs("aws-demo")) == pytest.approx(58 * 0.179)
    second = _cost(store, _record(start=later), [], now=later + 20 * HOUR)
    assert second["spent"]["expected"] == pytest.approx(10 * 0.179)


def test_a_home_lab_has_no_bill(store: StateStore) -> None:
    lab = _record("homelab", environment="homelab", platform="libvirt-k3s", spec={}, expires_at=None)
    found = _cost(store, lab, [Item("libvirt_domain", "1", "zave-cp", owner="homelab")], now=START + HOUR)
    assert (found["region"], found["lines"], found["unmetered"]) == (None, [], [])
    assert found["spent"]["expected"] == 0
    assert "nobody bills it" in render_cost(found)


def test_a_region_without_rates_is_named_not_counted_as_free(store: StateStore) -> None:
    record = _record(spec={"aws": {"region": "mars-north-1"}})
    found = _cost(store, record, _items(), now=START + HOUR)
    assert found["spent"]["expected"] == 0
    assert any("instance t3.large" in name for name in found["unpriced"])
    assert "without a price: instance t3.large: no rate for mars-north-1" in render_cost(found)


# savings


@pytest.mark.parametrize(("weekends", "usd"), [(6, 991), (12, 918), (26, 748)])
def test_six_months_of_weekends_save_what_the_table_says(weekends: int, usd: int) -> None:
    found = saved(months=6, usd_month=178.93, usd_spent=weekends * 12.18, standing_usd_month=1.51)
    assert found == pytest.approx(usd, abs=0.5)


def _savings(store: StateStore, *, now: datetime) -> dict[str, Any]:
    return _valid("savings", savings_of(store, now=now, rehearsal=True))


def test_the_ledger_compares_all_lives_with_one_that_never_ends(
    store: StateStore, clock: SettableClock
) -> None:
    span = {"low": 100.0, "expected": 180.0, "high": 300.0}
    for name, start in (("aws-demo", START), ("other", START + 300 * HOUR)):
        _live_and_die(store, clock, _record(name, start=start), hours=48)
        keep_estimate(store, name, {"ttl": {"hours": 48, **span}, "month": {"hours": 730, **span}})
    keep_standing(
        store, [Item("aws_kms_key", "k", "zave", standing=True)], region="us-east-1", now=clock.now()
    )
    found = _savings(store, now=START + 1460 * HOUR)
    (environment,) = found["environments"]
    assert (environment["lives"], environment["hours_up"]) == (2, 96)
    assert found["usd_always_on"] == pytest.approx(360.0)
    assert found["usd_spent"] == pytest.approx(96 * 0.179)
    assert found["standing"] == {"usd_month": 1.0, "usd": 2.0}
    assert found["usd_saved"] == pytest.approx(360.0 - 96 * 0.179 - 2.0)
    assert "saved since 2026-11-23: $340.82" in render_savings(found)


def test_without_an_estimate_the_lives_tell_what_an_hour_costs(
    store: StateStore, clock: SettableClock
) -> None:
    _live_and_die(store, clock, _record(), hours=48)
    found = _savings(store, now=START + 730 * HOUR)
    assert found["environments"][0]["usd_month"] == pytest.approx(730 * 0.179, abs=0.001)


def test_a_life_goes_on_through_repeated_commands_and_receipts_with_leaks(
    store: StateStore, clock: SettableClock
) -> None:
    record = _record()
    _live_and_die(store, clock, record, hours=10, leaks=1)
    store.begin_run(instance="aws-demo", command="up", arguments=["up", "aws-demo"])
    found = _savings(store, now=START + 20 * HOUR)
    (life,) = found["lives"]
    assert (life["ended_at"], life["hours"]) == (None, 20)
    assert life["usd"] == pytest.approx(20 * 0.179)
    assert "stands" in render_savings(found)


def test_a_declined_demo_is_no_life(store: StateStore) -> None:
    store.save_instance(_record())
    run = store.begin_run(instance="aws-demo", command="demo", arguments=["demo", "aws"])
    store.finish_run(run.id, outcome="declined", exit_code=7, seconds=1, virtual_seconds=1)
    assert _savings(store, now=START)["lives"] == []


def test_a_life_that_nobody_metered_is_named(store: StateStore, clock: SettableClock) -> None:
    store.save_instance(_record())
    store.begin_run(instance="aws-demo", command="demo", arguments=["demo", "aws"])
    found = _savings(store, now=START + HOUR)
    assert found["environments"] == []
    assert found["unpriced"] == ["aws-demo: no life of it was metered and no estimate was kept"]
    _live_and_die(store, clock, _record("metered"), hours=48)
    assert any(name.endswith("not metered") for name in _savings(store, now=START + TTL)["unpriced"])


def test_home_labs_and_an_empty_record_save_nothing(store: StateStore) -> None:
    lab = _record("homelab", environment="homelab", platform="libvirt-k3s", spec={}, expires_at=None)
    store.save_instance(lab)
    store.begin_run(instance="homelab", command="up", arguments=["up", "homelab"])
    found = _savings(store, now=START + HOUR)
    assert (found["lives"], found["usd_saved"]) == ([], 0)
    assert render_savings(found) == "no demo is recorded yet\n"


def test_the_standing_price_is_that_of_the_standing_parts(store: StateStore, clock: SettableClock) -> None:
    _live_and_die(store, clock, _record(), hours=1)
    parts = [
        Item(type_, type_, "zave", standing=True)
        for type_ in ("aws_kms_key", "aws_ecr_repository", "aws_s3_bucket", "aws_iam_role")
    ]
    others = [Item("aws_nat_gateway", "n", "zave-demo")]
    keep_standing(store, [*parts, *others], region=Catalogue.load("us-east-1").region, now=START)
    assert _savings(store, now=START)["standing"]["usd_month"] == pytest.approx(1.51, abs=0.001)
