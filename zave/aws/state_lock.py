"""The lock on a Terraform state: waited for, and broken only when no apply can hold it.

It is a file beside the state or an item of a table (the spec's `state.lock`). The file is looked for in
any case: it stays when its holder died and the spec was changed to the table.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from zave.aws.keys import broken_lock_key, state_key, state_lock_key
from zave.clock import Clock, from_rfc3339
from zave.ports.cloud import Bucket, Cloud, LockTable

# how often a lock is looked at, in seconds of the world's time
_POLL = 30.0
_LOCK_FIELDS = ("ID", "Operation", "Who", "Created")


@dataclass(frozen=True)
class StateLock:
    """A lock that is held: what its holder wrote, and since when; None where nothing tells."""

    content: bytes
    since: datetime | None


@dataclass(frozen=True)
class Ended:
    """Terraforms that are certainly over: `who` they were to their locks, and when they may have locked."""

    who: str
    spans: Sequence[tuple[datetime, datetime]]

    def held(self, lock: StateLock) -> bool:
        """Whether `lock` is of one of them."""
        created = _created(lock.content)
        if created is None or _field(lock.content, "Who") != self.who:
            return False
        return any(begun <= created <= over for begun, over in self.spans)


@dataclass(frozen=True)
class Belief:
    """How long a lock is believed: `longest_apply` seconds, and not at all if it is of one that `ended`."""

    longest_apply: float
    ended: Ended = Ended("", ())


def state_locks(cloud: Cloud, instance: str) -> list[StateLock]:
    """The locks that somebody holds on the instance's state. Raises what the cloud raises."""
    held = (place.held() for place in _places(cloud, instance))
    return [lock for lock in held if lock is not None]


def wait_for_state_lock(
    cloud: Cloud,
    clock: Clock,
    *,
    instance: str,
    belief: Belief,
    say: Callable[[str], None],
    beat: Callable[[], None],
) -> None:
    """Let a Terraform finish that may still write; break a lock that no Terraform can hold any more.

    What was broken is kept as evidence. `beat` is called while waiting.
    """
    for place in _places(cloud, instance):
        seen, seen_at, told = None, clock.now(), False
        while (lock := place.held()) is not None:
            now = clock.now()
            if lock != seen:
                seen, seen_at, told = lock, now, False
            age = (now - _since(lock, seen_at)).total_seconds()
            dead = belief.ended.held(lock)
            left = 0.0 if dead else belief.longest_apply - age
            if left <= 0 and _break(cloud.bucket, place, lock, instance=instance, at=now):
                whose = "left by a Terraform that was killed" if dead else f"{age / 60:.0f} minutes old"
                say(f"broke Terraform's lock, {whose}: {_told(lock.content)}")
                continue
            if left > 0 and not told:
                say(f"waiting for a Terraform that holds the state: {_told(lock.content)}")
                told = True
            clock.sleep(min(_POLL, left) if left > 0 else _POLL)
            beat()


class _Place(Protocol):
    """Where a lock is."""

    def held(self) -> StateLock | None:
        """The lock that is there now."""
        ...

    def release(self, lock: StateLock) -> bool:
        """Release `lock`; False when it is another one by now, or none."""
        ...


@dataclass(frozen=True)
class _File:
    """The file that Terraform's S3 backend puts beside a state (`use_lockfile`)."""

    bucket: Bucket
    key: str

    def held(self) -> StateLock | None:
        """The lock that is there now."""
        found = next((each for each in self.bucket.list(self.key) if each.key == self.key), None)
        content = None if found is None else self.bucket.get(self.key)
        # by the bucket's clock: the locker's own may be wrong
        return None if found is None or content is None else StateLock(content, found.modified_at)

    def release(self, lock: StateLock) -> bool:
        """Release `lock`; False when it is another one by now, or none."""
        if self.held() != lock:
            return False
        self.bucket.delete(self.key)
        return True


@dataclass(frozen=True)
class _Item:
    """The item that Terraform's S3 backend makes in a table (`dynamodb_table`)."""

    table: LockTable
    state: str

    def held(self) -> StateLock | None:
        """The lock that is there now."""
        content = self.table.lock(self.state)
        # a table keeps no times: what the locker's clock said is all that there is
        return None if content is None else StateLock(content, _created(content))

    def release(self, lock: StateLock) -> bool:
        """Release `lock`; False when it is another one by now, or none."""
        return self.table.release(self.state, lock.content)


def _places(cloud: Cloud, instance: str) -> Iterator[_Place]:
    yield _File(cloud.bucket, state_lock_key(instance))
    if cloud.lock_table is not None:
        yield _Item(cloud.lock_table, state_key(instance))


def _since(lock: StateLock, seen_at: datetime) -> datetime:
    """Since when the lock counts. Of one that does not tell, or is from the future: since it was seen."""
    return seen_at if lock.since is None or lock.since > seen_at else lock.since


def _break(bucket: Bucket, place: _Place, lock: StateLock, *, instance: str, at: datetime) -> bool:
    """Break `lock`, on record first; False when it is another one by now, or none."""
    while not bucket.put(key := broken_lock_key(instance, at), lock.content, only_if_absent=True):
        at += timedelta(milliseconds=1)
    if place.release(lock):
        return True
    bucket.delete(key)
    return False


def _field(content: bytes, name: str) -> object:
    try:
        return json.loads(content)[name]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _created(content: bytes) -> datetime | None:
    told = _field(content, "Created")
    try:
        return from_rfc3339(told) if isinstance(told, str) else None
    except (ValueError, OverflowError):
        return None


def _told(lock: bytes) -> str:
    """What a lock of Terraform's says of its holder. Hostile text: only known fields, cut short."""
    try:
        document = json.loads(lock)
        return ", ".join(f"{key} {str(document[key])[:100]!r}" for key in _LOCK_FIELDS)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it says nothing of its holder"
