"""The destroyer: what the switch runs once an instance has outlived its TTL.

It needs its bundle and the account, nothing of the user's. Whatever fails on the way, it goes on: the
inventory decides whether the instance is gone, and until it is, the schedule stays and fires again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from zave.aws.bundle import Bundle
from zave.aws.cluster_made import ClusterFirst
from zave.aws.keys import (
    baseline_key,
    check_key,
    going_key,
    receipt_key,
)
from zave.aws.lives import lives_elsewhere
from zave.aws.locks import STALE_AFTER, RunLock, Worker
from zave.aws.settlement import leak_error, settlement
from zave.aws.state import look_at_state, put_state_away
from zave.aws.state_lock import Belief, state_locks, wait_for_state_lock
from zave.aws.sweep import Sweep, Swept, belongs, read_baseline
from zave.aws.switch import run_ended, still_to_come
from zave.clock import Clock, rfc3339
from zave.errors import LockedError, PreconditionError, StepFailedError
from zave.ports import PENDING, Item
from zave.ports.cloud import Bucket, Cloud, Schedule
from zave.receipt import Subject, receipt
from zave.tools.terraform import Terraform
from zave.tools.terraform_json import TerraformEvent

DESTROYED_BY = "zave reap (switch)"

LONGEST_TAKING_BACK = timedelta(minutes=20)
"""How long a cluster may take to clean up after itself: what is left then is the sweep's."""

# how often a lock is looked at, in seconds of the world's time
_POLL = 30.0
# seconds that a clock may be wrong without a word: the cloud tells whole ones
_UNTOLD = 5.0


class TerraformFactory(Protocol):
    """Makes a Terraform for a root: `zave.tools.terraform_factory.BoundTerraform`."""

    def __call__(
        self, *, root: Path, log: Path, on_event: Callable[[TerraformEvent], None] | None = None
    ) -> Terraform:
        """A Terraform in the folder `root`."""
        ...


@dataclass(frozen=True)
class Gear:
    """What the destroyer works with. `price` is USD an hour, None where it has none; `say` tells people.

    `take_back` takes the cluster back from Flux, which deletes what it made outside of itself. It is given
    what to call often, and what ends it by raising. It need not come to an end: the destroyer goes on.
    """

    cloud: Cloud
    take_back: Callable[[Callable[[], None]], None]
    clock: Clock
    terraform: TerraformFactory
    say: Callable[[str], None]
    price: Callable[[Item], float | None]


@dataclass(frozen=True)
class Verdict:
    """How a fire ended without an error.

    `destroyed`: nothing is left, `receipt` proves it. `busy`: another destroyer is at work. `gone`:
    there was nothing to do. `extended`: the expiry was moved before anything was touched.
    """

    outcome: Literal["destroyed", "busy", "gone", "extended"]
    receipt: Mapping[str, Any] | None = None


def forget_life(bucket: Bucket, instance: str) -> None:
    """Clear the notes of a life that has ended, for `down` as for the destroyer; receipts stay."""
    bucket.delete(baseline_key(instance))
    bucket.delete(going_key(instance))


class CloudTime:
    """A clock that agrees with the cloud's where the machine's own is wrong."""

    def __init__(self, clock: Clock, *, skew: timedelta) -> None:
        self._clock = clock
        self._skew = skew

    def now(self) -> datetime:
        """The present moment by the cloud's clock, in UTC."""
        return self._clock.now() + self._skew

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.sleep(seconds)


@dataclass
class Destroyer:
    """One run of the destroyer over the instance of `bundle`; `work` is a private folder for Terraform."""

    gear: Gear
    bundle: Bundle
    run: str
    work: Path

    def __post_init__(self) -> None:
        self._instance = self.bundle.facts.instance
        self._cloud = self.gear.cloud
        self._clock = self._cloud_time()

    def check(self) -> dict[str, Any]:
        """Prove that this run could destroy: state and locks read, inventory listed. The finding, stored too.

        A damaged state is told, not refused: without it the sweep does the work.
        """
        self._require_account()
        state = look_at_state(self._bucket, self._instance)
        state_locks(self._cloud, self._instance)  # that they can be read: who holds one now is no matter
        items = self._cloud.inventory.items()
        finding = {
            "schema": "zave/destroyer-check/v1",
            "instance": self._instance,
            "run": self.run,
            "manifest_sha256": self.bundle.manifest_sha256,
            "at": rfc3339(self._clock.now()),
            "account": self._cloud.caller().account,
            "state": state.kind,
            "resources": state.resources,
            "items": len(items),
            "own": sum(belongs(item, self._instance) for item in items),
            "inventory_source": self._cloud.inventory.source,
        }
        self._bucket.put(check_key(self._instance, self.run), _json(finding))
        return finding

    def destroy(self) -> Verdict:
        """Destroy the instance if its TTL is over.

        Raises PreconditionError before the expiry, with nothing touched, and LeakError (exit 6) while
        anything is left: then the schedule stays and fires again.
        """
        self._require_account()
        while (schedule := self._due()) is not None:
            lock = self._lock()
            try:
                self._take(lock)
            except LockedError as error:
                self.gear.say(f"{error.brief}: {error.details}")
                return Verdict("busy")
            try:
                if self._cloud.switchboard.schedule(self._instance) is None and not self._own():
                    return Verdict("gone")  # whoever had the lock has finished the work
                # `extend` sets the schedule, then looks for this lock: one of the two sees the other
                if not self._was_moved(schedule):
                    return self._destroy(lock, schedule)
            finally:
                lock.release()
            # an `extend` that saw this lock puts the schedule back at once: then the time is up after all
            self._clock.sleep(_POLL)
            if self._was_moved(schedule):
                return Verdict("extended")
        return Verdict("gone")

    # before anything is touched

    def _cloud_time(self) -> Clock:
        # asked now: when a build is said to have started it was submitted, and may have been queued since
        try:
            skew = self._cloud.now() - self.gear.clock.now()
        except StepFailedError as error:
            self.gear.say(f"{error.brief}: going by this machine's clock")
            return self.gear.clock
        if abs(skew.total_seconds()) >= _UNTOLD:
            self.gear.say(f"this machine's clock is off by {-skew.total_seconds():.0f} s: using the cloud's")
        return CloudTime(self.gear.clock, skew=skew)

    def _require_account(self) -> None:
        account, facts = self._cloud.caller().account, self.bundle.facts
        if (account, self._cloud.region) != (facts.account, facts.region):
            raise PreconditionError(
                f"the bundle is for account {facts.account} in {facts.region}, "
                f"this is {account} in {self._cloud.region}",
                resolution="run it with the credentials of its own account",
            )

    def _due(self) -> Schedule | None:
        """The schedule when the TTL is over; None when there is neither schedule nor instance."""
        schedule = self._cloud.switchboard.schedule(self._instance)
        if schedule is None:
            if not self._own():
                return None
            raise PreconditionError(
                f"{self._instance} has no switch, so no expiry: nothing was touched",
                resolution=f"zave down {self._instance} takes it down, zave up {self._instance} arms it",
            )
        if self._clock.now() < schedule.first_fire_at:
            raise PreconditionError(
                f"{self._instance} lives until {rfc3339(schedule.first_fire_at)}: nothing was touched",
                resolution=f"zave down {self._instance} takes it down before that",
            )
        return schedule

    def _was_moved(self, schedule: Schedule) -> bool:
        """Whether the expiry is later now than it was in `schedule`."""
        now = self._cloud.switchboard.schedule(self._instance)
        if now is None or now.first_fire_at <= schedule.first_fire_at:
            return False
        self.gear.say(f"the expiry was moved to {rfc3339(now.first_fire_at)}")
        return True

    def _lock(self) -> RunLock:
        return RunLock(
            self._bucket,
            self._clock,
            instance=self._instance,
            worker=Worker(self.run, "destroyer", f"destroyer {self.run}"),
            dead=lambda holding: holding.work == "destroyer" and run_ended(self._cloud, holding.id),
            say=self.gear.say,
        )

    def _take(self, lock: RunLock) -> None:
        """Take the lock; wait for an `up` or `down`, but not for ever. Raises LockedError for a destroyer."""
        deadline = self._clock.now() + timedelta(seconds=STALE_AFTER)
        while True:
            try:
                return lock.acquire()
            except LockedError as error:
                holding = lock.holder()
                if holding is not None and holding.work == "destroyer":
                    raise
                if self._clock.now() >= deadline:
                    # the end of the TTL wins: whoever has it stops at its next heartbeat
                    self.gear.say(f"took the lock from a run that did not end: {error.details}")
                    return lock.seize()
            self._clock.sleep(_POLL)

    # the work

    def _destroy(self, lock: RunLock, schedule: Schedule) -> Verdict:
        try:
            wait_for_state_lock(
                self._cloud,
                self._clock,
                instance=self._instance,
                belief=Belief(self.bundle.facts.longest_apply),
                say=self.gear.say,
                beat=lock.beat,
            )
            baseline = read_baseline(self._bucket, self._instance) | self._elsewhere()
            going = self._note_what_goes(baseline)
            if self._own(baseline):
                self._gitops(lock)
                self._terraform(lock)
            swept = Sweep(
                self._cloud.inventory, self._clock, self._instance, baseline, self.gear.say, lock.beat
            ).run()
            return self._settle(swept, going)
        except BaseException:
            # when the cloud cannot be asked, what it has stays as it is
            with suppress(StepFailedError, PreconditionError):
                self._keep_firing(schedule)
            raise

    def _note_what_goes(self, baseline: frozenset[tuple[str, str]]) -> list[dict[str, str]]:
        """The list of what is to be deleted, kept across fires: the receipt tells of all of it."""
        key = going_key(self._instance)
        going: dict[tuple[str, str], dict[str, str]] = {}
        with suppress(ValueError, KeyError, TypeError):
            going = {(i["type"], i["id"]): i for i in json.loads(self._bucket.get(key) or b"[]")}
        for item in self._own(baseline):
            going[item.type, item.id] = {"type": item.type, "id": item.id, "name": item.name}
        self._bucket.put(key, _json(list(going.values())))
        return list(going.values())

    def _gitops(self, lock: RunLock) -> None:
        """Have the cluster delete what it made outside of itself; without a cluster the sweep does."""
        self.gear.say("deleting what the cluster made outside of itself")
        lock.beat()
        try:
            self.gear.take_back(self._beat_until(lock, self._clock.now() + LONGEST_TAKING_BACK))
        except (StepFailedError, PreconditionError) as error:
            self.gear.say(f"the cluster could not be asked ({error.brief}): the sweep deletes what it made")

    def _beat_until(self, lock: RunLock, deadline: datetime) -> Callable[[], None]:
        """Keeps the lock alive; past `deadline` the cluster has had its time."""

        def beat() -> None:
            lock.beat()
            if self._clock.now() >= deadline:
                raise StepFailedError("the cluster takes too long")

        return beat

    def _terraform(self, lock: RunLock) -> None:
        state = look_at_state(self._bucket, self._instance)
        if state.kind != "whole" or not state.resources:
            self.gear.say(f"Terraform's state is {state.describe()}: the sweep deletes what there is")
            return
        self.gear.say(f"terraform destroy of {state.resources} resources")

        def heard(event: TerraformEvent) -> None:
            lock.beat()
            if event.kind == "apply_complete" and event.address:
                self.gear.say(f"terraform: {event.address} {event.action or 'done'}")

        terraform = self.gear.terraform(
            root=self.bundle.root, log=self.work / "terraform.log", on_event=heard
        )
        try:
            terraform.init()
            first = self._cluster_first()
            if first.needed():
                self.gear.say("the cluster goes first, as things that it made still stand")
                _destroy(terraform, targets=first.targets)
                first.clear(say=self.gear.say, beat=lock.beat)
            _destroy(terraform)
        except (StepFailedError, PreconditionError) as error:
            self.gear.say(f"{error.brief}: the sweep deletes what is left")

    def _cluster_first(self) -> ClusterFirst:
        return ClusterFirst(
            self._cloud.inventory,
            self._clock,
            self._instance,
            baseline=lambda: read_baseline(self._bucket, self._instance),
        )

    # the end

    def _settle(self, swept: Swept, going: Sequence[Mapping[str, str]]) -> Verdict:
        facts, inventory, now = self.bundle.facts, self._cloud.inventory, self._clock.now()
        document = receipt(
            settlement(swept, going, inventory, price=self.gear.price),
            Subject(self._instance, facts.environment, facts.label_rehearsal, DESTROYED_BY),
            at=rfc3339(now),
            sources=[inventory.source],
        )
        self._bucket.put(receipt_key(self._instance, now), _json(document))
        if swept.left:
            raise leak_error(swept, document, inventory)
        self._forget()
        # last of all: whatever came in between, another fire would have found it
        self._cloud.switchboard.remove_schedule(self._instance)
        return Verdict("destroyed", document)

    def _forget(self) -> None:
        """Clear what belonged to this life of the instance; receipts and evidence stay."""
        put_state_away(self._cloud, self._instance, at=self._clock.now())
        forget_life(self._bucket, self._instance)

    def _keep_firing(self, schedule: Schedule) -> None:
        """Undo an extension that came while this run was at work: half an instance is left."""
        found = self._cloud.switchboard.schedule(self._instance)
        if found is None or found.first_fire_at > schedule.first_fire_at or not found.enabled:
            kept = still_to_come(schedule, self._clock.now())
            self._cloud.switchboard.set_schedule(replace(kept, enabled=True))

    @property
    def _bucket(self) -> Bucket:
        return self._cloud.bucket

    def _elsewhere(self) -> frozenset[tuple[str, str]]:
        """What a demo of the same name in another region has in IAM: not this one's to delete."""
        items, creation = self._cloud.inventory.items(), self.bundle.facts.creation
        return lives_elsewhere(items, self._instance, creation=creation)

    def _own(self, baseline: frozenset[tuple[str, str]] = frozenset()) -> list[Item]:
        """What is the instance's and does not go by itself."""
        items = self._cloud.inventory.items()
        return [i for i in items if belongs(i, self._instance, baseline=baseline) and i.state != PENDING]


def _destroy(terraform: Terraform, *, targets: Sequence[str] = ()) -> None:
    plan = terraform.plan(destroy=True, targets=targets)
    if plan.has_changes:
        terraform.apply(plan)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
