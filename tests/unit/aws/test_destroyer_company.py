"""The destroyer beside others: runs that live, that died, that hold Terraform's lock."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.aws.memory import Account, FakeLockTable
from tests.unit.aws.things import gone
from zave.aws.destroyer import Verdict
from zave.aws.keys import (
    broken_lock_key,
    old_state_key,
    state_key,
    state_lock_key,
)
from zave.aws.locks import RunLock, Work, Worker
from zave.errors import LeakError, LockedError, PreconditionError, StepFailedError
from zave.ports.cloud import DestroyerRun
from zave.spec.units import MINUTE

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
    assert gone(expired.own("demo"))
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
    kept = expired.switchboard.set["demo"]
    # AWS takes no start that is past: it fires again from now on
    assert kept == replace(schedule, first_fire_at=kept.first_fire_at)
    assert timedelta(0) <= expired.clock.now() - kept.first_fire_at < timedelta(minutes=5)


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


def test_a_stale_lock_in_a_table_is_broken_as_well(expired: Account) -> None:
    table = expired.lock_table = FakeLockTable(expired.tick)
    table.locks[state_key("demo")] = b'{"ID": "abc"}'
    found = expired.clock.now()
    assert isinstance(expired.fire("demo"), Verdict)
    assert table.locks == {}
    (evidence,) = expired.bucket.documents("instances/demo/broken-locks/")
    assert evidence == {"ID": "abc"}
    assert all(at >= found + timedelta(minutes=30) for _, at in expired.inventory.deleted)


def test_a_check_proves_that_locks_can_be_read(expired: Account) -> None:
    def refused(state: str) -> bytes | None:
        raise StepFailedError("AWS refused dynamodb:get_item", details="AccessDeniedException")

    archive = expired.bucket.objects[expired.switchboard.set["demo"].bundle][0]
    table = expired.lock_table = FakeLockTable(expired.tick)
    assert expired.destroyer("check", archive).check()["own"] > 0
    table.lock = refused  # type: ignore[method-assign]
    with pytest.raises(StepFailedError, match="dynamodb"):
        expired.destroyer("check", archive).check()


def test_keys_of_evidence_do_not_collide(expired: Account) -> None:
    now = expired.clock.now()
    assert broken_lock_key("demo", now) != broken_lock_key("demo", now + timedelta(milliseconds=1))
    assert old_state_key("demo", now) < old_state_key("demo", now + timedelta(seconds=1))
