"""What CodeBuild does and moto does not: a build that was started runs, to its end."""

from collections.abc import Callable

from tests.integration.aws_live.standing import PARTS
from tests.system.moto_server import MotoServer
from zave.aws.live.api import Api
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.clock import Clock
from zave.ports.cloud import DestroyerRun, Mode, Schedule


class ActingSwitchboard(SchedulerSwitchboard):
    """The switchboard of an account whose builds work.

    `act` runs one with what its schedule tells it, and says why it failed, if it did.
    """

    def __init__(
        self, api: Api, *, server: MotoServer, clock: Clock, act: Callable[[DestroyerRun, Schedule], str]
    ) -> None:
        super().__init__(api, parts=PARTS, clock=clock)
        self._server = server
        self._act = act

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        run = super().start(instance, mode=mode, candidate=candidate)
        schedule = candidate or self.schedule(instance)
        assert schedule is not None
        reason = self._act(run, schedule)
        self._server.end_build(run.id, status="FAILED" if reason else "SUCCEEDED", reason=reason)
        return super().run(run.id)
