"""An account that is three, compared all the time: in memory, rehearsed, and in moto by the real adapters.

Whatever the switch, the destroyer or a test does to bucket, schedules and runs is done to all of them. The
answers must be the same, but for the times of objects, which moto takes from the machine's clock, and for
the ids of runs. The one in memory chooses moments and lets things go wrong; that the rehearsed adapters
(`zave.rehearsal`) and the real ones (`zave.aws.live`) are the same is what is shown.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from tests.integration.aws_live.standing import ACCOUNT, PARTS, REGION, set_up
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import Account, FakeBucket, FakeClock, FakeSwitchboard
from tests.unit.rehearsal.cloud.conftest import Account as RehearsedAccount
from zave.aws.keys import ACCOUNT_STATE
from zave.aws.live.api import Api
from zave.aws.live.bucket import S3Bucket
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Machinery, Mode, Schedule, StoredObject
from zave.rehearsal.bucket import SimulatedBucket
from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.database import Database
from zave.rehearsal.switchboard import SimulatedSwitchboard
from zave.rehearsal.viewpoint import Viewpoint
from zave.rehearsal.world import World

T = TypeVar("T")

# the address for alarms is confirmed in moto from the start, in a rehearsal after ten minutes
_BEFORE = timedelta(minutes=15)


class DifferenceError(BaseException):
    """The two accounts are not the same any more; nothing that is tested may catch this."""


def same(what: str, memory: object, rehearsed: object, live: object) -> None:
    if not memory == rehearsed == live:
        raise DifferenceError(f"{what}: in memory {memory!r}, rehearsed {rehearsed!r}, by boto3 {live!r}")


class Rehearsed:
    """The rehearsed account: a world whose clock follows that of the test."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self._clock = clock
        path = Path(tempfile.mkdtemp(prefix="world-", dir=folder)) / "world.db"
        begins = (clock.now() - _BEFORE).timestamp()
        viewpoint = Viewpoint.of(os.environ)
        self._world = World(Database(path, now=begins), on_crash=_no_crash, viewpoint=viewpoint)
        account = RehearsedAccount(self._world)
        account.switch()
        # what a build does, by its id
        self.act: Callable[[str], str] = _nothing_runs
        self._cloud = SimulatedCloud(self._world, region=REGION, account=ACCOUNT, launch=self._launch)

    @property
    def now(self) -> datetime:
        """The world's time. A build's machine takes a moment to come, in which only the world gets older."""
        self._follow()
        return datetime.fromtimestamp(self._world.clock.timestamp(), UTC)

    @property
    def bucket(self) -> SimulatedBucket:
        self._follow()
        return self._cloud.bucket

    @property
    def switchboard(self) -> SimulatedSwitchboard:
        self._follow()
        return self._cloud.switchboard

    def _follow(self) -> None:
        behind = self._clock.now().timestamp() - self._world.clock.timestamp()
        if behind > 0:
            self._world.clock.advance(behind)

    def _launch(self, argv: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path) -> int:
        """The program of a build: here what the account in memory does, which acts on all three."""
        assert argv[-1] in ("check", "destroy")
        assert cwd == Path(environment["HOME"])
        reason = self.act(environment["CODEBUILD_BUILD_ID"])
        log.write_text(f"{reason}\n")
        return 1 if reason else 0


def _no_crash() -> None:
    raise AssertionError("nobody asked for a crash")


def _nothing_runs(build: str) -> str:
    raise AssertionError(f"nobody started {build}")


def both(what: str, live: Callable[[], T], rehearsed: Callable[[], object]) -> T:
    """Do it to both, AWS first. Raises what both refuse, and DifferenceError where one of them does."""
    refusals: list[StepFailedError | None] = []
    answer: T | None = None
    for number, does in enumerate((live, rehearsed)):
        try:
            given = does()
        except StepFailedError as error:
            refusals.append(error)
        else:
            refusals.append(None)
            answer = cast(T, given) if number == 0 else answer
    if (refusals[0] is None) != (refusals[1] is None):
        raise DifferenceError(f"{what}: by boto3 {refusals[0]!r}, rehearsed {refusals[1]!r}")
    if refusals[0] is not None:
        raise refusals[0]
    return cast(T, answer)


class _Objects(dict[str, Any]):
    """The objects in memory; what a test takes away by hand is taken away everywhere."""

    def __init__(self, live: S3Bucket, rehearsed: Rehearsed) -> None:
        super().__init__()
        self._live = live
        self._rehearsed = rehearsed

    def pop(self, key: str, default: Any = None) -> Any:
        both(f"delete {key}", lambda: self._live.delete(key), lambda: self._rehearsed.bucket.delete(key))
        return super().pop(key, default)


class TwinBucket(FakeBucket):
    """All three buckets."""

    def __init__(
        self, live: S3Bucket, rehearsed: Rehearsed, clock: FakeClock, tick: Callable[[], None]
    ) -> None:
        super().__init__(clock, tick)
        self.live = live
        self._rehearsed = rehearsed
        self.objects = _Objects(live, rehearsed)

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        same(f"get {key}", found, self._rehearsed.bucket.get(key), self.live.get(key))
        return found

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        written = super().put(key, content, only_if_absent=only_if_absent)
        rehearsed = self._rehearsed.bucket.put(key, content, only_if_absent=only_if_absent)
        same(f"put {key}", written, rehearsed, self.live.put(key, content, only_if_absent=only_if_absent))
        return written

    def list(self, prefix: str) -> Sequence[StoredObject]:
        found = super().list(prefix)
        three = (found, self._rehearsed.bucket.list(prefix), self.live.list(prefix))
        same(f"list {prefix}", *([(each.key, each.size) for each in one] for one in three))
        return found

    def differences(self) -> Iterator[str]:
        """Keys whose contents differ; what `account setup` left is each account's own."""
        rehearsed = self._rehearsed.bucket
        stored = (each.key for bucket in (self.live, rehearsed) for each in bucket.list(""))
        for key in {*self.objects, *stored} - {ACCOUNT_STATE}:
            if not self.objects.get(key, (None,))[0] == self.live.get(key) == rehearsed.get(key):
                yield key


class _Schedules(dict[str, Schedule]):
    """The schedules in memory; the others are asked first, so what they refuse is refused here too."""

    def __init__(self, live: SchedulerSwitchboard, rehearsed: Rehearsed) -> None:
        super().__init__()
        self._live = live
        self._rehearsed = rehearsed

    def __setitem__(self, instance: str, schedule: Schedule) -> None:
        both(
            f"set the schedule of {instance}",
            lambda: self._live.set_schedule(schedule),
            lambda: self._rehearsed.switchboard.set_schedule(schedule),
        )
        super().__setitem__(instance, schedule)

    def pop(self, instance: str, default: Any = None) -> Any:
        both(
            f"remove the schedule of {instance}",
            lambda: self._live.remove_schedule(instance),
            lambda: self._rehearsed.switchboard.remove_schedule(instance),
        )
        return super().pop(instance, default)


class TwinSwitchboard(FakeSwitchboard):
    """All three switchboards. A build in moto begins and ends with the run in memory."""

    def __init__(
        self,
        live: SchedulerSwitchboard,
        rehearsed: Rehearsed,
        server: MotoServer,
        clock: FakeClock,
        tick: Callable[[], None],
    ) -> None:
        super().__init__(clock, tick)
        self.live = live
        self.rehearsed = rehearsed
        self.set = _Schedules(live, rehearsed)
        # the run in memory -> the rehearsed one, the one in moto
        self.builds: dict[str, tuple[str, str]] = {}
        self._server = server

    def machinery(self) -> Machinery:
        found = super().machinery()
        same("machinery", found, self.rehearsed.switchboard.machinery(), self.live.machinery())
        return found

    def schedule(self, instance: str) -> Schedule | None:
        found = super().schedule(instance)
        rehearsed = self.rehearsed.switchboard.schedule(instance)
        same(f"schedule of {instance}", found, rehearsed, self.live.schedule(instance))
        return found

    def schedules(self) -> Sequence[Schedule]:
        three = (super().schedules(), self.rehearsed.switchboard.schedules(), self.live.schedules())
        found = [sorted(one, key=lambda schedule: schedule.instance) for one in three]
        same("schedules", *found)
        return found[0]

    def subscribe(self, email: str) -> None:
        super().subscribe(email)
        both(
            f"subscribe {email}",
            lambda: self.live.subscribe(email),
            lambda: self.rehearsed.switchboard.subscribe(email),
        )

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        super().warn(instance, moments=moments, text=text)
        both(
            f"warn of {instance}",
            lambda: self.live.warn(instance, moments=moments, text=text),
            lambda: self.rehearsed.switchboard.warn(instance, moments=moments, text=text),
        )

    def warnings(self, instance: str) -> Sequence[datetime]:
        found = super().warnings(instance)
        now = self.rehearsed.now
        three = (found, self.rehearsed.switchboard.warnings(instance), self.live.warnings(instance))
        same(f"warnings of {instance}", *([each for each in one if each > now] for one in three))
        return found

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        mine = f"zave:{len(self.started)}"
        theirs = self.live.start(instance, mode=mode, candidate=candidate).id
        ended: list[DestroyerRun] = []

        def act(build: str) -> str:
            self.builds[mine] = (build, theirs)
            ended.append(super(TwinSwitchboard, self).start(instance, mode=mode, candidate=candidate))
            return ended[-1].reason

        before, self.rehearsed.act = self.rehearsed.act, act
        try:
            run = self.rehearsed.switchboard.start(instance, mode=mode, candidate=candidate)
        finally:
            self.rehearsed.act = before
        if not ended:
            raise DifferenceError(f"the rehearsed build of {instance} ran nothing: {run}")
        same(f"the id of run {mine}", run.id, self.builds[mine][0], run.id)
        self._compare(ended[-1])
        return ended[-1]

    def end(self, run_id: str, state: str, reason: str = "") -> DestroyerRun:
        ended = super().end(run_id, state, reason)
        status = {"succeeded": "SUCCEEDED", "failed": "FAILED"}[state]
        self._server.end_build(self.builds[run_id][1], status=status, reason=reason)
        return ended

    def run(self, run_id: str) -> DestroyerRun:
        if run_id not in self.builds:
            raise StepFailedError(f"no run {run_id}")
        found = super().run(run_id)
        self._compare(found)
        return found

    def _compare(self, run: DestroyerRun) -> None:
        rehearsed, live = self.builds[run.id]
        try:
            three = (run, self.rehearsed.switchboard.run(rehearsed), self.live.run(live))
        except StepFailedError as error:
            # whoever asked would take it for an account that does not answer
            raise DifferenceError(f"run {run.id} is known in memory only: {error}") from error
        same(f"run {run.id}", *((one.instance, one.mode, one.state) for one in three))


@dataclass
class TwinAccount(Account):
    """All three accounts; everything but bucket and switch is in memory alone."""

    server: MotoServer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        server = cast(MotoServer, self.server)
        server.reset()
        api = Api(region=REGION, endpoint_url=server.url, attempts=1)
        set_up(api)
        cloud = LiveCloud(api, clock=self.clock)
        live = S3Bucket(api, name=PARTS.bucket, account=ACCOUNT)
        rehearsed = Rehearsed(self.folder, self.clock)
        self.stored = TwinBucket(live, rehearsed, self.clock, self.tick)
        self.switchboard = TwinSwitchboard(cloud.switchboard, rehearsed, server, self.clock, self.tick)

    def differences(self) -> list[str]:
        """All in which the three differ."""
        board = cast(TwinSwitchboard, self.switchboard)
        found = list(cast(TwinBucket, self.stored).differences())
        others = [
            {schedule.instance: schedule for schedule in one}
            for one in (board.live.schedules(), board.rehearsed.switchboard.schedules())
        ]
        names = {*board.set, *others[0], *others[1]}
        return found + [
            name for name in names if not board.set.get(name) == others[0].get(name) == others[1].get(name)
        ]
