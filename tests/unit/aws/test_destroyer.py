"""The destroyer: nothing before the expiry, everything after it, whatever has failed on the way."""

import json
from collections.abc import Callable

import pytest

from tests.unit.aws.memory import Account
from tests.unit.aws.things import TTL, gone
from zave.aws.arming import Term, arm
from zave.aws.destroyer import DESTROYED_BY, LONGEST_TAKING_BACK, Verdict
from zave.aws.keys import (
    baseline_key,
    going_key,
    receipt_prefix,
    run_lock_key,
    state_key,
)
from zave.errors import LeakError, PreconditionError, StepFailedError
from zave.ports import Item
from zave.ports.cloud import Schedule
from zave.receipt import receipt_digest
from zave.spec.units import MINUTE

# the check


def test_a_check_finds_state_and_inventory_and_touches_nothing(armed: Account) -> None:
    schedule = armed.switchboard.set["demo"]
    before = dict(armed.inventory.there)
    finding = armed.destroyer("r1", armed.bucket.objects[schedule.bundle][0]).check()
    assert (finding["state"], finding["resources"], finding["own"]) == ("whole", 4, 6)
    assert armed.inventory.there == before


@pytest.mark.parametrize(("content", "kind"), [(None, "absent"), (b"{", "damaged"), (b"", "damaged")])
def test_a_check_passes_without_a_state_because_the_sweep_needs_none(
    content: bytes | None, kind: str, armed: Account
) -> None:
    armed.bucket.delete(state_key("demo"))
    if content is not None:
        armed.bucket.put(state_key("demo"), content)
    archive = armed.bucket.objects[armed.switchboard.set["demo"].bundle][0]
    assert armed.destroyer("r1", archive).check()["state"] == kind


def test_a_check_without_the_inventory_fails(armed: Account) -> None:
    armed.inventory.reachable = False
    archive = armed.bucket.objects[armed.switchboard.set["demo"].bundle][0]
    with pytest.raises(PreconditionError):
        armed.destroyer("r1", archive).check()


@pytest.mark.parametrize("change", [{"account": "999999999999"}, {"region": "eu-west-1"}], ids=str)
def test_another_account_or_region_is_refused(change: dict[str, str], expired: Account) -> None:
    for name, value in change.items():
        setattr(expired, name, value)
    result = expired.fire("demo")
    assert isinstance(result, PreconditionError)
    assert not expired.inventory.deleted


# before the expiry


def test_a_second_before_the_expiry_nothing_is_touched(armed: Account) -> None:
    armed.clock.sleep(TTL - 1)
    before = dict(armed.bucket.objects)
    result = armed.fire("demo")
    assert isinstance(result, PreconditionError)
    assert "lives until" in result.brief
    assert not armed.inventory.deleted
    assert armed.cluster.torn_down == 0
    assert armed.bucket.objects == before


# after it


def test_everything_goes_and_the_switch_goes_last(expired: Account) -> None:
    order: list[str] = []
    remove = expired.switchboard.remove_schedule

    def noted(instance: str) -> None:
        assert gone(expired.own("demo"))
        assert expired.bucket.list(receipt_prefix("demo"))
        order.append("schedule")
        remove(instance)

    expired.switchboard.remove_schedule = noted  # type: ignore[method-assign]
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert result.outcome == "destroyed"
    assert order == ["schedule"]
    assert expired.cluster.torn_down == expired.applies == 1
    assert expired.bucket.get(run_lock_key("demo")) is None


def test_the_receipt_in_the_bucket_tells_what_went_and_who_did_it(expired: Account) -> None:
    expired.fire("demo")
    (document,) = expired.bucket.documents(receipt_prefix("demo"))
    assert document["destroyed_by"] == DESTROYED_BY
    assert document["environment"] == "aws-demo"
    assert {thing["type"] for thing in document["deleted"]} == {
        "aws_vpc",
        "aws_subnet",
        "aws_instance",
        "aws_lb",
        "aws_ebs_volume",
    }
    assert [thing["type"] for thing in document["accepted"]] == ["aws_kms_key"]
    assert document["leaks"] == []
    assert document["sha256"] == receipt_digest(document)


def test_cluster_then_terraform_then_sweep(expired: Account) -> None:
    expired.fire("demo")
    order = [identity for identity, _ in expired.inventory.deleted]
    assert set(order[:2]) == {"lb-demo", "ebs_volume-demo"}
    assert order[2:] == ["instance-demo", "subnet-demo", "vpc-demo"]


def test_a_cluster_that_never_lets_go_does_not_stop_it(expired: Account) -> None:
    expired.cluster.never_ends = True
    started = expired.clock.now()
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert gone(expired.own("demo"))
    assert any("takes too long" in text for text in expired.said)
    assert expired.clock.now() - started < 2 * LONGEST_TAKING_BACK


def test_a_cluster_that_is_gone_does_not_stop_it(expired: Account) -> None:
    expired.cluster.answers = False
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert gone(expired.own("demo"))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\0\0\0", b"not json"])
def test_a_lost_state_does_not_stop_it(content: bytes | None, expired: Account) -> None:
    expired.bucket.delete(state_key("demo"))
    if content is not None:
        expired.bucket.put(state_key("demo"), content)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert expired.applies == 0
    assert gone(expired.own("demo"))
    assert expired.bucket.get(state_key("demo")) is None


def test_an_emptied_state_does_not_stop_it(expired: Account) -> None:
    expired.put_state("demo", [], serial=9)
    assert isinstance(expired.fire("demo"), Verdict)
    assert gone(expired.own("demo"))


def test_a_terraform_that_fails_does_not_stop_it(expired: Account) -> None:
    expired.terraform_fails = True
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert gone(expired.own("demo"))
    # the state describes what is gone: the next life must not begin with it
    assert expired.bucket.get(state_key("demo")) is None
    assert expired.bucket.list("instances/demo/old-states/")


def test_what_is_older_or_anothers_stays(expired: Account, item: Callable[..., Item]) -> None:
    other = expired.make("other")
    older = item("demo", "aws_vpc", id="older")
    expired.inventory.add(older)
    content = json.dumps({"items": [["aws_vpc", "older"]]}).encode()
    expired.bucket.put(baseline_key("demo"), content)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert {i.id for i in expired.inventory.there.values()} == {i.id for i in other} | {
        "older",
        "kms_key-demo",
    }


def test_a_damaged_baseline_stops_it_before_anything_is_deleted(expired: Account) -> None:
    expired.bucket.put(baseline_key("demo"), b"{")
    assert isinstance(expired.fire("demo"), StepFailedError)
    assert not expired.inventory.deleted
    assert "demo" in expired.switchboard.set


def test_leftovers_fail_the_fire_keep_the_schedule_and_are_told(expired: Account) -> None:
    expired.inventory.refuse.add("aws_lb")
    result = expired.fire("demo")
    assert isinstance(result, LeakError)
    assert "AccessDenied" in (result.details or "")
    assert "aws delete lb-demo" in (result.details or "")
    assert "demo" in expired.switchboard.set
    (document,) = expired.bucket.documents(receipt_prefix("demo"))
    assert {leak["id"] for leak in document["leaks"]} == {"lb-demo", "subnet-demo", "vpc-demo"}
    assert document["usd_per_day_leaking"] == pytest.approx(7.2)


def test_a_later_fire_finishes_and_its_receipt_tells_of_all(expired: Account) -> None:
    expired.inventory.refuse.add("aws_lb")
    expired.fire("demo")
    expired.inventory.refuse.clear()
    expired.clock.sleep(30 * MINUTE)
    assert isinstance(expired.fire("demo"), Verdict)
    assert len(expired.bucket.documents(receipt_prefix("demo"))[-1]["deleted"]) == 5
    assert "demo" not in expired.switchboard.set
    assert expired.bucket.get(going_key("demo")) is None


def test_an_account_out_of_reach_keeps_the_schedule(expired: Account) -> None:
    expired.inventory.reachable = False
    assert isinstance(expired.fire("demo"), PreconditionError)
    assert "demo" in expired.switchboard.set


# told apart


def test_two_instances_side_by_side_do_not_touch_each_other(expired: Account) -> None:
    arm(expired, expired.clock, instance="other", term=Term(TTL), bundle=expired.packed("other"))
    other = expired.make("other")
    assert isinstance(expired.fire("demo"), Verdict)
    assert {item.id for item in expired.own("other")} == {item.id for item in other}
    assert "other" in expired.switchboard.set


def test_a_fire_after_the_schedule_went_finds_nothing(expired: Account) -> None:
    schedule: Schedule = expired.switchboard.set["demo"]
    expired.fire("demo")
    expired.switchboard.set["demo"] = schedule
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert "demo" not in expired.switchboard.set
