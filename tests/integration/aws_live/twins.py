"""An account that is two: one in memory, and one in moto through the real adapters, compared all the time.

Whatever the switch, the destroyer or a test does to bucket and schedules is done to both. The answers must
be the same, but for the times of objects, which moto takes from the machine's clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from tests.integration.aws_live.standing import ACCOUNT, PARTS, REGION, set_up
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import Account, FakeBucket, FakeClock, FakeSwitchboard
from zave.aws.live.api import Api
from zave.aws.live.bucket import S3Bucket
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Machinery, Mode, Schedule, StoredObject


class DifferenceError(BaseException):
    """The two accounts are not the same any more; nothing that is tested may catch this."""


def same(what: str, memory: object, live: object) -> None:
    if memory != live:
        raise DifferenceError(f"{what}: in memory {memory!r}, by boto3 {live!r}")


class _Objects(dict[str, Any]):
    """The objects in memory; what a test takes away by hand is taken away in moto as well."""

    def __init__(self, live: S3Bucket) -> None:
        super().__init__()
        self._live = live

    def pop(self, key: str, default: Any = None) -> Any:
        self._live.delete(key)
        return super().pop(key, default)


class TwinBucket(FakeBucket):
    """Both buckets."""

    def __init__(self, live: S3Bucket, clock: FakeClock, tick: Callable[[], None]) -> None:
        super().__init__(clock, tick)
        self.live = live
        self.objects = _Objects(live)

    def get(self, key: str) -> bytes | None:
        found = super().get(key)
        same(f"get {key}", found, self.live.get(key))
        return found

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        written = super().put(key, content, only_if_absent=only_if_absent)
        same(f"put {key}", written, self.live.put(key, content, only_if_absent=only_if_absent))
        return written

    def list(self, prefix: str) -> Sequence[StoredObject]:
        found = super().list(prefix)
        names = [(each.key, each.size) for each in found]
        same(f"list {prefix}", names, [(each.key, each.size) for each in self.live.list(prefix)])
        return found

    def differences(self) -> Iterator[str]:
        """Keys whose contents differ."""
        for key in {*self.objects, *(each.key for each in self.live.list(""))}:
            if self.objects.get(key, (None,))[0] != self.live.get(key):
                yield key


class _Schedules(dict[str, Schedule]):
    """The schedules in memory; AWS is asked first, so what it refuses is refused here too."""

    def __init__(self, live: SchedulerSwitchboard) -> None:
        super().__init__()
        self._live = live

    def __setitem__(self, instance: str, schedule: Schedule) -> None:
        self._live.set_schedule(schedule)
        super().__setitem__(instance, schedule)

    def pop(self, instance: str, default: Any = None) -> Any:
        self._live.remove_schedule(instance)
        return super().pop(instance, default)


class TwinSwitchboard(FakeSwitchboard):
    """Both switchboards. A build in moto begins and ends with the run in memory."""

    def __init__(
        self,
        live: SchedulerSwitchboard,
        server: MotoServer,
        clock: FakeClock,
        tick: Callable[[], None],
    ) -> None:
        super().__init__(clock, tick)
        self.live = live
        self.set = _Schedules(live)
        self.builds: dict[str, str] = {}
        self._server = server

    def machinery(self) -> Machinery:
        found = super().machinery()
        same("machinery", found, self.live.machinery())
        return found

    def schedule(self, instance: str) -> Schedule | None:
        found = super().schedule(instance)
        same(f"schedule of {instance}", found, self.live.schedule(instance))
        return found

    def schedules(self) -> Sequence[Schedule]:
        found = sorted(super().schedules(), key=lambda schedule: schedule.instance)
        same("schedules", found, list(self.live.schedules()))
        return found

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        super().warn(instance, moments=moments, text=text)
        self.live.warn(instance, moments=moments, text=text)

    def warnings(self, instance: str) -> Sequence[datetime]:
        found = super().warnings(instance)
        same(f"warnings of {instance}", found, list(self.live.warnings(instance)))
        return found

    def start(self, instance: str, *, mode: Mode) -> DestroyerRun:
        self.builds[f"zave:{len(self.started)}"] = self.live.start(instance, mode=mode).id
        return super().start(instance, mode=mode)

    def end(self, run_id: str, state: str, reason: str = "") -> DestroyerRun:
        ended = super().end(run_id, state, reason)
        status = {"succeeded": "SUCCEEDED", "failed": "FAILED"}[state]
        self._server.end_build(self.builds[run_id], status=status, reason=reason)
        self._compare(ended)
        return ended

    def run(self, run_id: str) -> DestroyerRun:
        if run_id not in self.builds:
            raise StepFailedError(f"no run {run_id}")
        found = super().run(run_id)
        self._compare(found)
        return found

    def _compare(self, run: DestroyerRun) -> None:
        live = self.live.run(self.builds[run.id])
        wanted = (run.instance, run.mode, run.state)
        same(f"run {run.id}", wanted, (live.instance, live.mode, live.state))


@dataclass
class TwinAccount(Account):
    """Both accounts; everything but bucket and switch is in memory alone."""

    server: MotoServer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        server = cast(MotoServer, self.server)
        server.reset()
        api = Api(region=REGION, endpoint_url=server.url, attempts=1)
        set_up(api)
        cloud = LiveCloud(api, clock=self.clock)
        live = S3Bucket(api, name=PARTS.bucket, account=ACCOUNT)
        self.stored = TwinBucket(live, self.clock, self.tick)
        self.switchboard = TwinSwitchboard(cloud.switchboard, server, self.clock, self.tick)

    def differences(self) -> list[str]:
        """All in which the two differ."""
        board = cast(TwinSwitchboard, self.switchboard)
        found = list(cast(TwinBucket, self.stored).differences())
        theirs = {schedule.instance: schedule for schedule in board.live.schedules()}
        return found + [name for name in {*board.set, *theirs} if board.set.get(name) != theirs.get(name)]
