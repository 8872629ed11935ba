"""An account in memory: every port of a cloud, with a clock that moves when somebody sleeps."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tests.unit.aws.things import ACCOUNT, instance_facts, item, state_of
from zave.aws.bundle import Bundle, Packed, build_bundle, load_bundle, unpack
from zave.aws.destroyer import Destroyer, Gear, TerraformFactory, Verdict
from zave.aws.keys import state_key
from zave.errors import NoBucketError, PreconditionError, StepFailedError, ZaveError
from zave.ports import Item
from zave.ports.cloud import Caller, DestroyerRun, Machinery, Mode, Schedule, StoredObject
from zave.tools.terraform import Terraform

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class DiedError(BaseException):
    """A process was killed: nothing of it runs any more, not even what should clean up."""


class FakeClock:
    """Time that passes when it is slept through."""

    def __init__(self) -> None:
        self.moment = START
        self.on_sleep: list[Callable[[], None]] = []

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.moment += timedelta(seconds=seconds)
        for each in list(self.on_sleep):
            each()


class SkewedClock:
    """The same time on a machine whose clock is wrong by `seconds`."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        self._clock = clock
        self._skew = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._clock.now() + self._skew

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


class FakeBucket:
    """A bucket whose dates are the clock's."""

    name = f"zave-state-{ACCOUNT}"

    def __init__(self, clock: FakeClock, tick: Callable[[], None]) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self._clock = clock
        self._tick = tick

    def get(self, key: str) -> bytes | None:
        self._tick()
        found = self.objects.get(key)
        return None if found is None else found[0]

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        self._tick()
        if only_if_absent and key in self.objects:
            return False
        self.objects[key] = (content, self._clock.now())
        return True

    def put_file(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def delete(self, key: str) -> None:
        self._tick()
        self.objects.pop(key, None)

    def list(self, prefix: str) -> Sequence[StoredObject]:
        self._tick()
        return [
            StoredObject(key, len(content), at)
            for key, (content, at) in sorted(self.objects.items())
            if key.startswith(prefix)
        ]

    def documents(self, prefix: str) -> Sequence[Any]:
        return [json.loads(self.objects[found.key][0]) for found in self.list(prefix)]


class FakeLockTable:
    """Terraform's table: locks by the key of their state, and which states have a digest."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self.locks: dict[str, bytes] = {}
        self.digests: set[str] = set()
        self._tick = tick

    def lock(self, state: str) -> bytes | None:
        self._tick()
        return self.locks.get(state)

    def release(self, state: str, held: bytes) -> bool:
        self._tick()
        if self.locks.get(state) != held:
            return False
        del self.locks[state]
        return True

    def forget(self, state: str) -> None:
        self._tick()
        self.digests.discard(state)


class FakeInventory:
    """What exists. `needs` holds what must be gone first; `refuse` are types that are never deleted."""

    source = "an account in memory"
    types = frozenset({"aws_vpc", "aws_subnet", "aws_instance", "aws_kms_key", "aws_lb", "aws_ebs_volume"})

    def __init__(self, clock: FakeClock, tick: Callable[[], None]) -> None:
        self._tick = tick
        self.there: dict[str, Item] = {}
        self.needs: dict[str, tuple[str, ...]] = {}
        self.refuse: set[str] = set()
        self.deleted: list[tuple[str, datetime]] = []
        self.reachable = True
        self._clock = clock

    def items(self) -> Sequence[Item]:
        self._tick()
        if not self.reachable:
            raise PreconditionError("the region cannot be reached")
        return list(self.there.values())

    def add(self, *items: Item) -> None:
        for each in items:
            self.there[each.id] = each

    def delete(self, item: Item) -> None:
        self._tick()
        if item.type in self.refuse:
            raise StepFailedError("refused", details=f"AccessDenied: {item.type}")
        if any(need in self.there for need in self.needs.get(item.id, ())):
            raise StepFailedError("refused", details=f"DependencyViolation: {item.id}")
        if item.type == "aws_kms_key":
            until = {"until": "2026-12-30T12:00:00.000Z"}
            self.there[item.id] = replace(item, state="pending-deletion", attributes=until)
            return
        if self.there.pop(item.id, None) is not None:
            self.deleted.append((item.id, self._clock.now()))

    def how_to_delete(self, item: Item) -> str:
        return f"aws delete {item.id}"


class FakeSwitchboard:
    """Schedules and runs; `launch` is what a run does."""

    def __init__(self, clock: FakeClock, tick: Callable[[], None]) -> None:
        self._tick = tick
        self.missing: tuple[str, ...] = ()
        self.confirmed = True
        # whoever set the account up, and who was subscribed since
        self.subscribed = {"alarms@example.org": True}
        self.set: dict[str, Schedule] = {}
        self.mails: dict[str, list[datetime]] = {}
        self.started: list[DestroyerRun] = []
        self.launch: Callable[[DestroyerRun, Schedule], str] = lambda run, schedule: ""
        self._clock = clock

    def machinery(self) -> Machinery:
        told = {email: known and self.confirmed for email, known in self.subscribed.items()}
        return Machinery(self.missing, any(told.values()), subscribers=told)

    def works_from(self) -> str | None:
        return FakeBucket.name

    def schedule(self, instance: str) -> Schedule | None:
        self._tick()
        return self.set.get(instance)

    def schedules(self) -> Sequence[Schedule]:
        return list(self.set.values())

    def set_schedule(self, schedule: Schedule) -> None:
        self._tick()
        self.set[schedule.instance] = schedule

    def remove_schedule(self, instance: str) -> None:
        self._tick()
        self.mails.pop(instance, None)
        self.set.pop(instance, None)

    def subscribe(self, email: str) -> None:
        self._tick()
        self.subscribed.setdefault(email.lower(), False)

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        self._tick()
        self.mails[instance] = sorted(moments)

    def warnings(self, instance: str) -> Sequence[datetime]:
        self._tick()
        return [moment for moment in self.mails.get(instance, ()) if moment > self._clock.now()]

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        schedule = candidate or self.set[instance]
        at = self._clock.now()
        run = DestroyerRun(f"zave:{len(self.started)}", instance, mode, "running", at)
        self.started.append(run)
        reason = self.launch(run, schedule)
        return self.end(run.id, "failed" if reason else "succeeded", reason)

    def end(self, run_id: str, state: str, reason: str = "") -> DestroyerRun:
        index = next(i for i, run in enumerate(self.started) if run.id == run_id)
        ended = replace(
            self.started[index], state=cast(Any, state), finished_at=self._clock.now(), reason=reason
        )
        self.started[index] = ended
        return ended

    def run(self, run_id: str) -> DestroyerRun:
        for run in self.started:
            if run.id == run_id:
                return run
        raise StepFailedError(f"no run {run_id}")

    def runs(self, instance: str) -> Sequence[DestroyerRun]:
        return [run for run in reversed(self.started) if run.instance == instance]


class FakeCluster:
    """A cluster that made things in the account; `take_back` deletes them, if anybody answers."""

    def __init__(self, account: "Account") -> None:
        self._account = account
        self.answers = True
        self.never_ends = False
        self.torn_down = 0

    def take_back(self, check: Callable[[], None], *, instance: str) -> None:
        self.torn_down += 1
        while self.never_ends:
            self._account.clock.sleep(30)
            check()
        if not self.answers:
            raise StepFailedError("the cluster does not answer")
        self._account.clock.sleep(90)
        for each in self._account.own(instance):
            if each.type in ("aws_lb", "aws_ebs_volume"):
                self._account.inventory.delete(each)


class FakeTerraform:
    """Deletes what the state in the bucket lists; takes `seconds` of virtual time."""

    def __init__(self, account: "Account", root: Path, on_event: Callable[[Any], None] | None) -> None:
        self._account = account
        self._instance = account.instance_of(root)
        self._on_event = on_event

    def init(self) -> bool:
        return True

    def plan(self, *, destroy: bool = False, targets: Sequence[str] = ()) -> Any:
        assert destroy
        assert not targets, "nothing here was made by a cluster"
        return _FakePlan(has_changes=True)

    def apply(self, plan: "_FakePlan") -> None:
        account = self._account
        account.applies += 1
        key = state_key(self._instance)
        document = json.loads(account.bucket.objects[key][0])
        account.clock.sleep(account.destroy_seconds)
        if account.terraform_fails:
            raise StepFailedError("terraform apply failed (exit code 1)")
        for identity in document["ids"]:
            if identity in account.inventory.there:
                account.inventory.delete(account.inventory.there[identity])
        account.put_state(self._instance, [], serial=document["serial"] + 1)


@dataclass(frozen=True)
class _FakePlan:
    has_changes: bool


@dataclass
class Account:
    """The account, its clock, and what may go wrong in it. Implements `zave.ports.cloud.Cloud`."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    region: str = "us-east-1"
    account: str = ACCOUNT
    set_up: bool = True
    destroy_seconds: float = 720.0
    terraform_fails: bool = False
    lock_table: FakeLockTable | None = None
    applies: int = 0
    said: list[str] = field(default_factory=list)
    # by their archives: many accounts may share a folder, and what was unpacked there
    bundles: dict[bytes, Bundle] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # calls of any port so far, and what happens at which of them: how a moment is chosen
        self.calls = 0
        self.at_call: dict[int, Callable[[], None]] = {}
        self.dead = False
        self.stored = FakeBucket(self.clock, self.tick)
        self.inventory = FakeInventory(self.clock, self.tick)
        self.switchboard = FakeSwitchboard(self.clock, self.tick)
        self.cluster = FakeCluster(self)

    def tick(self) -> None:
        self.calls += 1
        happening = self.at_call.pop(self.calls, None)
        if happening is not None:
            happening()
        if self.dead:
            raise DiedError

    def die(self) -> None:
        self.dead = True

    def caller(self) -> Caller:
        return Caller(self.account, f"arn:aws:iam::{self.account}:role/me")

    def now(self) -> datetime:
        return self.clock.now().replace(microsecond=0)

    @property
    def bucket(self) -> FakeBucket:
        if not self.set_up:
            raise NoBucketError("there is no bucket")
        return self.stored

    # instances

    def own(self, instance: str) -> list[Item]:
        return [item for item in self.inventory.there.values() if item.owner == instance]

    def make(self, instance: str) -> list[Item]:
        """An instance with what Terraform makes and what its cluster makes; the state lists the former."""
        made = [item(instance, kind) for kind in ("aws_vpc", "aws_subnet", "aws_instance", "aws_kms_key")]
        others = [item(instance, kind) for kind in ("aws_lb", "aws_ebs_volume")]
        self.inventory.add(*made, *others)
        vpc, subnet, machine, _, balancer, _ = (i.id for i in (*made, *others))
        self.inventory.needs |= {vpc: (subnet, machine), subnet: (machine, balancer)}
        self.put_state(instance, [i.id for i in reversed(made)], serial=5)
        return [*made, *others]

    def put_state(self, instance: str, ids: Sequence[str], *, serial: int) -> None:
        self.stored.put(state_key(instance), state_of(ids, serial=serial))

    def rendered(self, instance: str) -> Path:
        root = self.folder / f"rendered-{instance}"
        root.mkdir(exist_ok=True)
        (root / "main.tf").write_text(f"# {instance}\n")
        return root

    def packed(self, instance: str, **facts: Any) -> Packed:
        root = self.rendered(instance)
        return build_bundle(root, spec={"platform": "aws-eks"}, facts=instance_facts(instance, **facts))

    # the destroyer

    def destroyer(self, run: str, archive: bytes, *, skew: float = 0.0) -> Destroyer:
        if archive not in self.bundles:
            number = len(self.bundles)
            unpacked, work = self.folder / f"unpacked-{number}", self.folder / f"work-{number}"
            unpack(archive, unpacked)
            self.bundles[archive] = load_bundle(unpacked, work=work)
        bundle = self.bundles[archive]
        clock = SkewedClock(self.clock, skew)
        instance = bundle.facts.instance
        gear = Gear(
            self,
            lambda check: self.cluster.take_back(check, instance=instance),
            clock,
            self.terraform,
            self.said.append,
            price=lambda item: 0.1,
        )
        return Destroyer(gear, bundle, run, self.folder)

    @property
    def terraform(self) -> TerraformFactory:
        def make(*, root: Path, log: Path, on_event: Callable[[Any], None] | None = None) -> Terraform:
            return cast(Terraform, FakeTerraform(self, root, on_event))

        return make

    @staticmethod
    def instance_of(root: Path) -> str:
        return (root / "main.tf").read_text().split()[1]

    def fire(
        self, instance: str, *, skew: float = 0.0, queued: float = 0.0
    ) -> Verdict | ZaveError | DiedError | None:
        """What the schedule does when it fires, `queued` seconds later; None when there is none."""
        schedule = self.switchboard.set.get(instance)
        if schedule is None:
            return None
        results: list[Verdict | ZaveError | DiedError] = []

        def launch(run: DestroyerRun, schedule: Schedule) -> str:
            archive = self.stored.objects[schedule.bundle][0]
            if queued:
                self.clock.sleep(queued)
            try:
                results.append(self.destroyer(run.id, archive, skew=skew).destroy())
            except ZaveError as error:
                results.append(error)
                return error.brief
            except DiedError as died:
                self.dead = False
                results.append(died)
                return "its machine died"
            return ""

        before, self.switchboard.launch = self.switchboard.launch, launch
        try:
            self.switchboard.start(instance, mode="destroy")
        finally:
            self.switchboard.launch = before
        return results[0]

    def prove(self, run: DestroyerRun, schedule: Schedule) -> str:
        """A launch that really checks."""
        archive = self.stored.objects[schedule.bundle][0]
        try:
            self.destroyer(run.id, archive).check()
        except ZaveError as error:
            return error.brief
        return ""
