"""Who works on an instance: a lock in the bucket with a heartbeat, for machines that share nothing else.

The lock is a chain: `run.lock` holds the first holder, and whoever takes over from a dead holder
claims that once, by an object that only one can make. The end of the chain holds the lock.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from zave.aws.keys import run_lock_key, takeover_key, takeover_prefix
from zave.clock import Clock, from_rfc3339, rfc3339
from zave.errors import LockedError, PreconditionError, StepFailedError
from zave.ports.cloud import Bucket

Work = Literal["up", "down", "destroyer"]

LONGEST_APPLY = 100 * 60
"""Seconds after which an apply is certainly over, also one whose zave died. So long its lock is believed.

More than `terraform-modules/aws-eks` lets Terraform wait for a cluster, add-ons, nodes and add-ons one
after another (`timeouts`), and the limit of every apply in an account. A whole stack takes 14 minutes
(aws.md of 2026-11-23, section 1).
"""

STALE_AFTER = 30 * 60
"""Seconds without a heartbeat after which a holder of the run lock is dead.

A Terraform that outlives it is no matter of this lock: it holds its state's.
"""

HEARTBEAT = 60.0
"""Seconds between two heartbeats of a holder."""

_PATIENCE = 0.5
"""After which share of the time that makes a holder dead one that cannot show its life gives up.

Until then nobody can have taken over, and an apply that is cut off costs more than a heartbeat.
"""

_EVER = datetime.min.replace(tzinfo=UTC)
# a chain this long is no accident of ours
_LONGEST_CHAIN = 100


@dataclass(frozen=True)
class Holding:
    """Who holds the lock: `id` is the run's, `origin` the place (machine and state folder) it runs at."""

    id: str
    work: Work
    origin: str
    since: datetime
    heartbeat: datetime

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.work} ({self.id}) from {self.origin}, since {rfc3339(self.since)}, "
            f"last heard of at {rfc3339(self.heartbeat)}"
        )


@dataclass(frozen=True)
class Worker:
    """Who wants the lock; the fields are `Holding`'s own."""

    id: str
    work: Work
    origin: str


def _never(_holding: Holding) -> bool:
    return False


def _silently(_text: str) -> None:
    pass


class RunLock:
    """The lock of one instance. `clock` should be the cloud's time, or close to it.

    A holder counts as dead when it was not heard of for `STALE_AFTER` seconds, when it has the same
    origin (the local lock has shown that no other zave works there), or when `dead` knows better.
    `say` is told, once, that the cloud does not take heartbeats.
    """

    def __init__(
        self,
        bucket: Bucket,
        clock: Clock,
        *,
        instance: str,
        worker: Worker,
        dead: Callable[[Holding], bool] = _never,
        say: Callable[[str], None] = _silently,
    ) -> None:
        self._bucket = bucket
        self._clock = clock
        self._instance = instance
        self._worker = worker
        self._dead = dead
        self._say = say
        self._held: Holding | None = None
        # the last heartbeat that was tried, and whether people were told that it did not succeed
        self._tried_at: datetime | None = None
        self._told = False

    def holder(self) -> Holding | None:
        """Who holds the lock now, dead or not."""
        current = _read(self._bucket, run_lock_key(self._instance))
        for _ in range(_LONGEST_CHAIN):
            if current is None:
                return None
            follower = _read(self._bucket, takeover_key(self._instance, current.id))
            if follower is None:
                return current
            current = follower
        raise StepFailedError(
            f"the run lock of {self._instance} is in disorder",
            where=f"{self._bucket.name}/{run_lock_key(self._instance)}",
            resolution="delete that object once nobody works on the instance",
        )

    def alive(self, holding: Holding) -> bool:
        """Whether `holding` may still work."""
        if holding.origin == self._worker.origin or self._dead(holding):
            return False
        return (self._clock.now() - holding.heartbeat).total_seconds() < STALE_AFTER

    def acquire(self) -> None:
        """Take the lock. Raises LockedError, naming the holder, when somebody alive has it."""
        for _ in range(_LONGEST_CHAIN):
            mine = self._fresh()
            if self._bucket.put(run_lock_key(self._instance), _write(mine), only_if_absent=True):
                self._held = mine
                return
            holding = self.holder()
            if holding is None:
                continue  # released between the two looks
            if self.alive(holding):
                raise self._locked(holding)
            if self._claim(holding):
                return
        raise StepFailedError(f"the run lock of {self._instance} changes hands all the time")

    def seize(self) -> None:
        """Take the lock whoever has it: for an expired instance, where the end of the TTL wins.

        The holder finds out at its next heartbeat and stops.
        """
        holding = self.holder()
        if holding is None or not self._claim(holding):
            self.acquire()

    def beat(self) -> None:
        """Show that the holder lives; cheap to call often. Raises LockedError when the lock was lost.

        A cloud that cannot be asked is an error only once the holder has been silent for half the time
        after which it counts as dead.
        """
        held = self._held
        if held is None:
            raise RuntimeError("a lock that is not held has no heartbeat")
        now = self._clock.now()
        if 0 <= (now - (self._tried_at or held.heartbeat)).total_seconds() < HEARTBEAT:
            return
        self._tried_at = now
        try:
            self._show_life(held, now)
            self._told = False
        except (PreconditionError, StepFailedError) as error:
            if (now - held.heartbeat).total_seconds() >= STALE_AFTER * _PATIENCE:
                raise
            if not self._told:
                self._told = True
                self._say(f"the lock of {self._instance} cannot be kept fresh now: {error.brief}; going on")

    def _show_life(self, held: Holding, now: datetime) -> None:
        current = self.holder()
        if current is None or current.id != held.id:
            raise self._lost(current)
        alive = dataclasses.replace(held, heartbeat=now)
        self._bucket.put(run_lock_key(self._instance), _write(alive))
        self._held = alive

    def release(self) -> None:
        """Give the lock back; nothing happens when it was lost."""
        held, self._held = self._held, None
        self._tried_at = None
        if held is None:
            return
        current = self.holder()
        if current is None or current.id != held.id:
            return
        self._bucket.delete(run_lock_key(self._instance))
        for claim in self._bucket.list(takeover_prefix(self._instance)):
            self._bucket.delete(claim.key)

    def _fresh(self) -> Holding:
        now = self._clock.now()
        return Holding(self._worker.id, self._worker.work, self._worker.origin, since=now, heartbeat=now)

    def _claim(self, holding: Holding) -> bool:
        """Take over from `holding`; False when somebody else did first."""
        if holding.id == self._worker.id:
            self._held = holding
            return True
        mine = self._fresh()
        key = takeover_key(self._instance, holding.id)
        if not self._bucket.put(key, _write(mine), only_if_absent=True):
            return False
        # from here on the chain names this run, whether or not the next line is reached
        self._bucket.put(run_lock_key(self._instance), _write(mine))
        self._held = mine
        return True

    def _locked(self, holding: Holding) -> LockedError:
        return LockedError(
            f"another run works on {self._instance}",
            details=holding.describe(),
            where=f"{self._bucket.name}/{run_lock_key(self._instance)}",
            resolution="wait for it; one that died is passed over "
            f"{STALE_AFTER / 60:.0f} minutes after it was last heard of",
        )

    def _lost(self, current: Holding | None) -> LockedError:
        return LockedError(
            f"this run lost the lock of {self._instance} to another one",
            details=current.describe() if current else "it was released by somebody else",
            where=f"{self._bucket.name}/{run_lock_key(self._instance)}",
            resolution="zave status tells how the instance stands; then run the same command again",
        )


def _write(holding: Holding) -> bytes:
    document = {
        "schema": "zave/run-lock/v1",
        "id": holding.id,
        "work": holding.work,
        "origin": holding.origin,
        "since": rfc3339(holding.since),
        "heartbeat": rfc3339(holding.heartbeat),
    }
    return json.dumps(document, indent=1).encode()


def _read(bucket: Bucket, key: str) -> Holding | None:
    content = bucket.get(key)
    if content is None:
        return None
    try:
        document: dict[str, Any] = json.loads(content)
        if document["work"] not in get_args(Work):
            raise ValueError(f"unknown work {document['work']!r}")
        return Holding(
            id=str(document["id"]),
            work=document["work"],
            origin=str(document["origin"]),
            since=from_rfc3339(document["since"]),
            heartbeat=from_rfc3339(document["heartbeat"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        # not written by zave: it must not keep an instance alive past its TTL, so it counts as dead
        digest = hashlib.sha256(content).hexdigest()[:16]
        return Holding(f"unreadable-{digest}", "up", "an unreadable lock", since=_EVER, heartbeat=_EVER)
