"""The destroyer: nothing before the expiry, everything after it, whatever has failed on the way."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.aws.memory import Account
from zave.aws.destroyer import DESTROYED_BY, Verdict
from zave.aws.keys import (
    baseline_key,
    broken_lock_key,
    going_key,
    old_state_key,
    receipt_prefix,
    run_lock_key,
    state_key,
    state_lock_key,
)
from zave.aws.locks import RunLock, Work, Worker
from zave.aws.switch import arm
from zave.errors import LeakError, LockedError, PreconditionError, StepFailedError
from zave.ports import Item
from zave.ports.cloud import DestroyerRun, Schedule
from zave.receipt import receipt_digest
from zave.spec.units import HOUR, MINUTE

TTL = 48 * HOUR


@pytest.fixture
def armed(account: Account) -> Account:
    """The instance `demo` with its switch, its things and a state that knows half of them."""
    arm(account, account.clock, instance="demo", ttl=TTL, bundle=account.packed("demo"))
    account.make("demo")
    return account


@pytest.fixture
def expired(armed: Account) -> Account:
    """The same, at the moment of its expiry."""
    armed.clock.sleep(TTL)
    return armed


def _gone(account: Account) -> bool:
    return {item.id for item in account.own("demo")} <= {"kms_key-demo"}


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


@pytest.mark.parametrize("skew", [-7200, -90, 90, 7200])
def test_a_wrong_clock_neither_destroys_early_nor_lets_live(skew: int, armed: Account) -> None:
    armed.clock.sleep(TTL - 60)
    assert isinstance(armed.fire("demo", skew=skew), PreconditionError)
    assert not armed.inventory.deleted
    armed.clock.sleep(60)
    result = armed.fire("demo", skew=skew)
    assert isinstance(result, Verdict)
    assert result.outcome == "destroyed"


def test_a_run_by_hand_goes_by_its_own_clock(armed: Account) -> None:
    archive = armed.bucket.objects[armed.switchboard.set["demo"].bundle][0]
    with pytest.raises(PreconditionError):
        armed.destroyer("by-hand", archive).destroy()
    armed.clock.sleep(TTL)
    assert armed.destroyer("by-hand", archive).destroy().outcome == "destroyed"


# after it


def test_everything_goes_and_the_switch_goes_last(expired: Account) -> None:
    order: list[str] = []
    remove = expired.switchboard.remove_schedule

    def noted(instance: str) -> None:
        assert _gone(expired)
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


def test_a_cluster_that_is_gone_does_not_stop_it(expired: Account) -> None:
    expired.cluster.answers = False
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert _gone(expired)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\0\0\0", b"not json"])
def test_a_lost_state_does_not_stop_it(content: bytes | None, expired: Account) -> None:
    expired.bucket.delete(state_key("demo"))
    if content is not None:
        expired.bucket.put(state_key("demo"), content)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert expired.applies == 0
    assert _gone(expired)
    assert expired.bucket.get(state_key("demo")) is None


def test_an_emptied_state_does_not_stop_it(expired: Account) -> None:
    expired.put_state("demo", [], serial=9)
    assert isinstance(expired.fire("demo"), Verdict)
    assert _gone(expired)


def test_a_terraform_that_fails_does_not_stop_it(expired: Account) -> None:
    expired.terraform_fails = True
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert _gone(expired)
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


# others at work


def _hold(account: Account, work: Work, run: str = "x") -> RunLock:
    lock = RunLock(
        account.bucket, account.clock, instance="demo", worker=Worker(run, work, f"{work} elsewhere")
    )
    lock.acquire()
    return lock


def test_of_two_fires_at_once_the_second_leaves_in_peace(expired: Account) -> None:
    seconds: list[Any] = []

    def again() -> None:
        expired.clock.on_sleep.clear()
        seconds.append(expired.fire("demo"))

    expired.clock.on_sleep.append(again)
    first = expired.fire("demo")
    assert isinstance(first, Verdict)
    assert first.outcome == "destroyed"
    assert [second.outcome for second in seconds] == ["busy"]


def test_a_destroyer_that_died_does_not_keep_the_next_one_out(expired: Account) -> None:
    run = DestroyerRun("dead", "demo", "destroy", "failed", expired.clock.now())
    expired.switchboard.started.append(run)
    _hold(expired, "destroyer", "dead")
    expired.clock.sleep(MINUTE)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert result.outcome == "destroyed"


def test_an_up_that_ends_is_waited_for(expired: Account) -> None:
    lock = _hold(expired, "up")
    ends = expired.clock.now() + timedelta(minutes=10)
    expired.clock.on_sleep.append(lambda: lock.release() if expired.clock.now() >= ends else None)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert all(at >= ends for _, at in expired.inventory.deleted)


@pytest.mark.parametrize("work", ["up", "down"])
def test_a_laptop_that_died_is_passed_over_in_time(work: Work, expired: Account) -> None:
    _hold(expired, work)
    expiry = expired.clock.now()
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert _gone(expired)
    assert expired.clock.now() <= expiry + timedelta(minutes=45)


def test_an_up_that_never_ends_loses_the_lock(expired: Account) -> None:
    lock = _hold(expired, "up")
    lost: list[LockedError] = []

    def working() -> None:
        if not lost:
            try:
                lock.beat()
            except LockedError as error:
                lost.append(error)

    expired.clock.on_sleep.append(working)
    expiry = expired.clock.now()
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert lost
    assert expired.clock.now() <= expiry + timedelta(minutes=45)


def test_a_down_that_finished_meanwhile_leaves_nothing_to_do(expired: Account) -> None:
    lock = _hold(expired, "down")

    def finish() -> None:
        expired.inventory.there.clear()
        expired.switchboard.remove_schedule("demo")
        lock.release()

    expired.clock.on_sleep.append(finish)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert result.outcome == "gone"


def test_an_extension_in_the_last_moment_is_seen(expired: Account) -> None:
    lock = _hold(expired, "up")

    def extended() -> None:
        schedule = expired.switchboard.set["demo"]
        later = schedule.first_fire_at + timedelta(days=1)
        expired.switchboard.set["demo"] = replace(schedule, first_fire_at=later)
        lock.release()
        expired.clock.on_sleep.clear()

    expired.clock.on_sleep.append(extended)
    result = expired.fire("demo")
    assert isinstance(result, Verdict)
    assert result.outcome == "extended"
    assert not expired.inventory.deleted


def test_a_schedule_that_was_moved_under_a_failing_destroyer_is_put_back(expired: Account) -> None:
    schedule = expired.switchboard.set["demo"]
    expired.inventory.refuse.add("aws_lb")

    def moved() -> None:
        later = schedule.first_fire_at + timedelta(days=1)
        expired.switchboard.set["demo"] = replace(schedule, first_fire_at=later)

    expired.clock.on_sleep.append(moved)
    assert isinstance(expired.fire("demo"), LeakError)
    assert expired.switchboard.set["demo"] == schedule


def test_without_a_schedule_what_stands_is_not_touched(expired: Account) -> None:
    archive = expired.bucket.objects[expired.switchboard.set["demo"].bundle][0]
    expired.switchboard.set.clear()
    with pytest.raises(PreconditionError, match="no switch"):
        expired.destroyer("late", archive).destroy()
    assert not expired.inventory.deleted
    expired.inventory.there.clear()
    assert expired.destroyer("late", archive).destroy().outcome == "gone"


# Terraform's lock


def _lock_state(account: Account) -> None:
    content = {"ID": "abc", "Operation": "OperationTypeApply", "Who": "me@laptop", "Created": "then"}
    account.bucket.put(state_lock_key("demo"), json.dumps(content).encode())


def test_a_young_lock_of_terraforms_is_waited_for(expired: Account) -> None:
    _lock_state(expired)
    ends = expired.clock.now() + timedelta(minutes=12)

    def unlocked() -> None:
        if expired.clock.now() >= ends:
            expired.bucket.delete(state_lock_key("demo"))

    expired.clock.on_sleep.append(unlocked)
    assert isinstance(expired.fire("demo"), Verdict)
    assert all(at >= ends for _, at in expired.inventory.deleted)
    assert not expired.bucket.list("instances/demo/broken-locks/")


def test_a_lock_older_than_any_apply_is_broken_and_kept_as_evidence(expired: Account) -> None:
    _lock_state(expired)
    locked_at = expired.clock.now()
    assert isinstance(expired.fire("demo"), Verdict)
    assert expired.bucket.get(state_lock_key("demo")) is None
    (evidence,) = expired.bucket.documents("instances/demo/broken-locks/")
    assert evidence["ID"] == "abc"
    assert any("'abc'" in said and "'me@laptop'" in said for said in expired.said)
    assert all(at >= locked_at + timedelta(minutes=30) for _, at in expired.inventory.deleted)
    assert expired.clock.now() <= locked_at + timedelta(minutes=45)


def test_keys_of_evidence_do_not_collide(expired: Account) -> None:
    now = expired.clock.now()
    assert broken_lock_key("demo", now) != broken_lock_key("demo", now + timedelta(milliseconds=1))
    assert old_state_key("demo", now) < old_state_key("demo", now + timedelta(seconds=1))


# told apart


def test_two_instances_side_by_side_do_not_touch_each_other(expired: Account) -> None:
    arm(expired, expired.clock, instance="other", ttl=TTL, bundle=expired.packed("other"))
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
