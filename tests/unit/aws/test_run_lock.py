"""The run lock in the bucket: one at a time, the dead are passed over, nobody waits for ever."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.aws.memory import Account
from zave.aws.keys import run_lock_key, takeover_key
from zave.aws.locks import HEARTBEAT, STALE_AFTER, Holding, RunLock, Work, Worker
from zave.errors import LockedError, PreconditionError

Make = Callable[..., RunLock]


@pytest.fixture
def lock(account: Account) -> Make:
    def make(
        run: str,
        *,
        origin: str | None = None,
        work: Work = "up",
        dead: Callable[[Holding], bool] = lambda _: False,
    ) -> RunLock:
        return RunLock(
            account.bucket,
            account.clock,
            instance="demo",
            worker=Worker(run, work, origin or f"machine of {run}"),
            dead=dead,
        )

    return make


class Darkness:
    """An account that nobody reaches while it is dark."""

    def __init__(self, account: Account) -> None:
        self.dark = False
        for name in ("get", "put"):
            setattr(account.stored, name, self._dimmed(getattr(account.stored, name)))

    def _dimmed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def dimmed(*words: Any, **named: Any) -> Any:
            if self.dark:
                raise PreconditionError("s3 cannot be reached")
            return call(*words, **named)

        return dimmed


def test_a_heartbeat_that_fails_stops_nobody_while_nobody_can_have_taken_over(account: Account) -> None:
    """An apply that is interrupted because of a bad network is worse than a heartbeat that is late."""
    said: list[str] = []
    darkness, clock = Darkness(account), account.clock
    worker = Worker("one", "up", "laptop")
    lock = RunLock(account.bucket, clock, instance="demo", worker=worker, say=said.append)
    lock.acquire()
    darkness.dark = True
    begun = clock.now()
    while (clock.now() - begun).total_seconds() < STALE_AFTER / 2 - HEARTBEAT:
        clock.sleep(HEARTBEAT)
        lock.beat()
    assert said == ["the lock of demo cannot be kept fresh now: s3 cannot be reached; going on"]
    darkness.dark = False
    clock.sleep(HEARTBEAT)
    lock.beat()
    holder = lock.holder()
    assert holder is not None
    assert holder.heartbeat == clock.now()
    # for longer than that it is an error, before anybody else may take over
    darkness.dark = True
    begun = clock.now()
    clock.sleep(STALE_AFTER / 2 - HEARTBEAT)
    lock.beat()
    clock.sleep(HEARTBEAT)
    with pytest.raises(PreconditionError, match="cannot be reached"):
        lock.beat()
    assert len(said) == 2


def test_a_second_run_is_refused_and_told_who_works(lock: Make) -> None:
    lock("one", work="down").acquire()
    with pytest.raises(LockedError) as refused:
        lock("two").acquire()
    assert "down (one) from machine of one" in (refused.value.details or "")


def test_after_a_release_nothing_is_left(lock: Make, account: Account) -> None:
    held = lock("one")
    held.acquire()
    held.release()
    held.release()
    assert not account.bucket.objects
    lock("two").acquire()


def test_a_silent_holder_is_passed_over_after_half_an_hour(lock: Make, account: Account) -> None:
    lock("one").acquire()
    account.clock.sleep(STALE_AFTER - 1)
    with pytest.raises(LockedError):
        lock("two").acquire()
    account.clock.sleep(1)
    lock("two").acquire()
    holder = lock("x").holder()
    assert holder is not None
    assert holder.id == "two"


def test_a_heartbeat_keeps_the_lock(lock: Make, account: Account) -> None:
    held = lock("one")
    held.acquire()
    for _ in range(3):
        account.clock.sleep(STALE_AFTER - 1)
        held.beat()
    with pytest.raises(LockedError):
        lock("two").acquire()


def test_heartbeats_are_written_once_a_minute(lock: Make, account: Account) -> None:
    held = lock("one")
    held.acquire()
    account.clock.sleep(HEARTBEAT - 1)
    held.beat()
    assert account.bucket.list("")[0].modified_at == account.clock.now() - timedelta(seconds=HEARTBEAT - 1)
    account.clock.sleep(1)
    held.beat()
    assert account.bucket.list("")[0].modified_at == account.clock.now()


def test_a_run_from_the_same_place_takes_over_at_once(lock: Make) -> None:
    lock("one", origin="laptop").acquire()
    lock("two", origin="laptop").acquire()


def test_a_holder_that_is_known_to_be_dead_is_passed_over(lock: Make) -> None:
    lock("one").acquire()
    lock("two", dead=lambda holding: holding.id == "one").acquire()


def test_a_holder_that_wakes_up_finds_out_and_does_not_take_the_lock_back(
    lock: Make, account: Account
) -> None:
    asleep = lock("one")
    asleep.acquire()
    account.clock.sleep(STALE_AFTER)
    lock("two").acquire()
    with pytest.raises(LockedError, match="lost the lock"):
        asleep.beat()
    asleep.release()
    holder = lock("x").holder()
    assert holder is not None
    assert holder.id == "two"


def test_of_two_that_take_over_one_wins(lock: Make, account: Account) -> None:
    lock("one").acquire()
    account.clock.sleep(STALE_AFTER)
    second, third = lock("two"), lock("three")
    # both have seen the dead holder before either acts
    dead = second.holder()
    assert dead is not None
    second.acquire()
    assert not third._claim(dead)
    with pytest.raises(LockedError):
        third.acquire()


def test_a_takeover_that_was_cut_off_half_way_counts(lock: Make, account: Account) -> None:
    """Killed after the claim, before `run.lock` was written: the claim names the holder."""
    lock("one").acquire()
    first = account.bucket.objects[run_lock_key("demo")]
    account.clock.sleep(STALE_AFTER)
    lock("two").acquire()
    account.bucket.objects[run_lock_key("demo")] = first
    with pytest.raises(LockedError) as refused:
        lock("three").acquire()
    assert "(two)" in (refused.value.details or "")
    account.clock.sleep(STALE_AFTER)
    lock("three").acquire()


def test_seizing_takes_the_lock_from_the_living(lock: Make, account: Account) -> None:
    alive = lock("one")
    alive.acquire()
    lock("two", work="destroyer").seize()
    account.clock.sleep(HEARTBEAT)
    with pytest.raises(LockedError):
        alive.beat()


def test_seizing_a_free_lock_takes_it(lock: Make) -> None:
    lock("one").seize()
    with pytest.raises(LockedError):
        lock("two").acquire()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"id": 1}', b"\xff"])
def test_a_lock_that_cannot_be_read_does_not_keep_anybody_out(
    content: bytes, lock: Make, account: Account
) -> None:
    account.bucket.put(run_lock_key("demo"), content)
    lock("one").acquire()
    with pytest.raises(LockedError):
        lock("two").acquire()


def test_a_clock_that_is_ahead_does_not_make_a_holder_dead(lock: Make, account: Account) -> None:
    lock("one").acquire()
    account.clock.moment -= timedelta(hours=1)
    with pytest.raises(LockedError):
        lock("two").acquire()


def test_releasing_clears_the_claims_of_earlier_holders(lock: Make, account: Account) -> None:
    lock("one").acquire()
    account.clock.sleep(STALE_AFTER)
    held = lock("two")
    held.acquire()
    assert account.bucket.get(takeover_key("demo", "one")) is not None
    held.release()
    assert not account.bucket.objects
