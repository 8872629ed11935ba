"""The lock on a Terraform state: waited for, recorded and broken, wherever Terraform puts it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import pytest

from tests.unit.aws.memory import Account, FakeLockTable
from zave.aws.keys import state_key, state_lock_key
from zave.aws.state import put_state_away, replace_state
from zave.aws.state_lock import Belief, Ended, state_locks, wait_for_state_lock
from zave.clock import rfc3339

LONGEST = 1800
STATE = state_key("demo")
NOBODY = Ended("", ())


@dataclass
class Terraform:
    """Somebody else's, which locks the state of `demo` in one place or the other."""

    account: Account
    place: Literal["file", "table"]
    beats: list[datetime] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def lock(self, name: str = "abc", *, created: object = None) -> bytes:
        """Lock it. A table has only the word of the locker for when."""
        told = rfc3339(self.account.clock.now()) if created is None else created
        content = json.dumps({"ID": name, "Operation": "OperationTypeApply", "Who": "me", "Created": told})
        if self.place == "file":
            self.account.bucket.put(state_lock_key("demo"), content.encode())
        else:
            self.table.locks[STATE] = content.encode()
        return content.encode()

    def unlock(self) -> None:
        """Unlock it."""
        if self.place == "file":
            self.account.bucket.delete(state_lock_key("demo"))
        else:
            self.table.locks.clear()

    @property
    def table(self) -> FakeLockTable:
        """The table."""
        assert self.account.lock_table is not None
        return self.account.lock_table

    def wait(self, ended: Ended = NOBODY) -> None:
        """Wait for it, as a teardown does."""
        wait_for_state_lock(
            self.account,
            self.account.clock,
            instance="demo",
            belief=Belief(LONGEST, ended),
            say=self.said.append,
            beat=lambda: self.beats.append(self.account.clock.now()),
        )

    def evidence(self) -> list[bytes]:
        """The locks that were broken."""
        found = self.account.bucket.list("instances/demo/broken-locks/")
        return [self.account.bucket.objects[each.key][0] for each in found]


@pytest.fixture(params=["file", "table"])
def terraform(request: pytest.FixtureRequest, account: Account) -> Terraform:
    account.lock_table = FakeLockTable(account.tick)
    return Terraform(account, request.param)


def _when(account: Account, done: Callable[[], bool], do: Callable[[], object]) -> None:
    """Have `do` happen once, at the first sleep after which `done` says so."""

    def slept() -> None:
        if done():
            account.clock.on_sleep.remove(slept)
            do()

    account.clock.on_sleep.append(slept)


def test_nothing_is_waited_for_where_nothing_is_locked(terraform: Terraform, account: Account) -> None:
    begun = account.clock.now()
    terraform.wait()
    assert (account.clock.now(), terraform.said, state_locks(account, "demo")) == (begun, [], [])


def test_a_young_lock_is_waited_for_and_not_broken(terraform: Terraform, account: Account) -> None:
    terraform.lock()
    assert [lock.since for lock in state_locks(account, "demo")] == [account.clock.now()]
    ends = account.clock.now() + timedelta(minutes=12)
    _when(account, lambda: account.clock.now() >= ends, terraform.unlock)
    terraform.wait()
    assert account.clock.now() == ends
    assert len(terraform.beats) == 24
    assert [line.split()[0] for line in terraform.said] == ["waiting"]
    assert terraform.evidence() == []


def test_a_lock_that_no_apply_can_hold_is_broken_and_kept(terraform: Terraform, account: Account) -> None:
    content = terraform.lock()
    begun = account.clock.now()
    terraform.wait()
    assert account.clock.now() - begun == timedelta(seconds=LONGEST)
    assert "'abc'" in terraform.said[-1]
    assert terraform.said[-1].startswith("broke")
    assert terraform.evidence() == [content]
    assert state_locks(account, "demo") == []


def test_an_old_lock_is_broken_at_once(terraform: Terraform, account: Account) -> None:
    terraform.lock()
    account.clock.sleep(LONGEST)
    begun = account.clock.now()
    terraform.wait()
    assert (account.clock.now(), len(terraform.evidence())) == (begun, 1)


def test_the_evidence_is_there_before_the_lock_is_gone(terraform: Terraform, account: Account) -> None:
    terraform.lock()
    account.clock.sleep(LONGEST)
    with_evidence: list[bool] = []

    def looked() -> None:
        gone = not terraform.table.locks and account.bucket.objects.get(state_lock_key("demo")) is None
        kept = any("broken-locks" in key for key in account.bucket.objects)
        with_evidence.append(kept or not gone)
        account.at_call[account.calls + 1] = looked

    account.at_call[account.calls + 1] = looked
    terraform.wait()
    account.at_call.clear()
    assert len(with_evidence) > 4
    assert all(with_evidence)


def test_a_lock_that_changed_hands_meanwhile_is_not_broken(terraform: Terraform, account: Account) -> None:
    terraform.lock("old")
    account.clock.sleep(LONGEST)
    put = account.bucket.put

    def slow_put(key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        # the old one ends and a new one begins while the evidence is written
        account.bucket.put = put  # type: ignore[method-assign]
        terraform.lock("new")
        return put(key, content, only_if_absent=only_if_absent)

    account.bucket.put = slow_put  # type: ignore[method-assign]
    ends = account.clock.now() + timedelta(minutes=20)
    _when(account, lambda: account.clock.now() >= ends, terraform.unlock)
    terraform.wait()
    assert account.clock.now() >= ends
    assert [line.split()[0] for line in terraform.said] == ["waiting"]
    assert "'new'" in terraform.said[0]
    assert terraform.evidence() == []


@pytest.mark.parametrize("created", ["then", 7, "2027-11-23T12:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_table_that_does_not_tell_the_age_is_waited_for_from_the_first_sight(
    created: object, account: Account
) -> None:
    account.lock_table = FakeLockTable(account.tick)
    terraform = Terraform(account, "table")
    terraform.lock(created=created)
    begun = account.clock.now()
    terraform.wait()
    assert account.clock.now() - begun == timedelta(seconds=LONGEST)
    assert len(terraform.evidence()) == 1


def test_what_terraform_writes_of_a_time_is_understood(account: Account) -> None:
    account.lock_table = FakeLockTable(account.tick)
    terraform = Terraform(account, "table")
    # with nanoseconds, as Go does
    terraform.lock(created="2026-11-23T11:00:00.123456789Z")
    terraform.wait()
    assert terraform.said[-1].startswith("broke Terraform's lock, 60 minutes old")


def test_stale_locks_in_both_places_are_both_kept(account: Account) -> None:
    account.lock_table = FakeLockTable(account.tick)
    both = [Terraform(account, "file"), Terraform(account, "table")]
    contents = [each.lock(name) for each, name in zip(both, ("one", "two"), strict=True)]
    account.clock.sleep(LONGEST)
    both[0].wait()
    assert both[0].evidence() == contents
    assert state_locks(account, "demo") == []


def test_a_state_that_is_replaced_loses_its_digest_first(account: Account) -> None:
    table = account.lock_table = FakeLockTable(account.tick)
    account.put_state("demo", ["vpc"], serial=3)
    table.digests.add(STATE)
    account.at_call[account.calls + 2] = account.die
    with pytest.raises(BaseException):  # noqa: B017, PT011 - the process is killed between the two
        replace_state(account, STATE, None)
    assert table.digests == set()
    assert STATE in account.bucket.objects


def test_a_state_that_is_put_away_is_kept_and_has_no_digest_left(account: Account) -> None:
    table = account.lock_table = FakeLockTable(account.tick)
    table.digests.add(STATE)
    account.put_state("demo", [], serial=3)
    assert not put_state_away(account, "demo", at=account.clock.now())
    assert STATE in account.bucket.objects
    account.put_state("demo", ["vpc"], serial=4)
    assert put_state_away(account, "demo", at=account.clock.now())
    assert STATE not in account.bucket.objects
    assert table.digests == set()
    assert len(account.bucket.list("instances/demo/old-states/")) == 1


def test_a_lock_of_a_terraform_that_was_killed_is_broken_at_once(
    terraform: Terraform, account: Account
) -> None:
    content = terraform.lock()
    begun = account.clock.now()
    minute = timedelta(minutes=1)
    terraform.wait(Ended("me", [(begun - minute, begun + minute)]))
    assert account.clock.now() == begun
    assert "left by a Terraform that was killed" in terraform.said[-1]
    assert (terraform.evidence(), state_locks(account, "demo")) == ([content], [])


@pytest.mark.parametrize(
    ("who", "minutes"),
    [("you", (-1, 1)), ("me", (-9, -1)), ("me", (1, 9))],
    ids=["somebody else's", "locked after it ended", "locked before it began"],
)
def test_a_lock_that_may_be_somebody_elses_is_waited_for(
    terraform: Terraform, account: Account, who: str, minutes: tuple[int, int]
) -> None:
    terraform.lock()
    begun = account.clock.now()
    first, last = (begun + timedelta(minutes=each) for each in minutes)
    terraform.wait(Ended(who, [(first, last)]))
    assert account.clock.now() - begun == timedelta(seconds=LONGEST)
