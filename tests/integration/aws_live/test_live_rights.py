"""What the destroyer really calls, written down over a whole life: the table of its rights has it all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.aws_live.leftovers import Leftovers
from tests.integration.aws_live.standing import PARTS, REGION
from tests.integration.aws_live.test_live_life import HOUR, TAGS, Demo
from tests.policy.table import ends, listing, looks, named, sweeping, switching, table
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.arming import Term, arm
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.ports.cloud import DestroyerRun, Schedule


class Recorder(Api):
    """Calls that are written down by what IAM calls them."""

    def __init__(self, url: str) -> None:
        super().__init__(region=REGION, endpoint_url=url, attempts=1)
        self.made: set[str] = set()

    def _client(self, *arguments: Any, **options: Any) -> Any:
        client = super()._client(*arguments, **options)
        client.meta.events.register("before-call.*.*", self._note)
        return client

    def _note(self, model: Any, **_: Any) -> None:
        self.made.add(named(model.service_model.signing_name, model.name))


class Recorded(Demo):
    """The account, of which only what the destroyer asks is written down."""

    def __init__(self, server: MotoServer, clock: FakeClock, folder: Path) -> None:
        super().__init__(server, clock, folder)
        self.recorder = Recorder(server.url)
        self._ours = LiveCloud(self.recorder, clock=clock)
        self._destroying = False

    @property
    def bucket(self) -> Any:
        return self._ours.bucket if self._destroying else super().bucket

    @property
    def inventory(self) -> Any:
        return self._ours.inventory if self._destroying else super().inventory

    @property
    def switchboard(self) -> Any:
        return self._ours.switchboard if self._destroying else super().switchboard

    def _act(self, run: DestroyerRun, schedule: Schedule) -> str:
        self._destroying = True
        try:
            return super()._act(run, schedule)
        finally:
            self._destroying = False


@pytest.fixture
def demo(cloud: LiveCloud, server: MotoServer, clock: FakeClock, tmp_path: Path) -> Recorded:
    """An account that is set up."""
    return Recorded(server, clock, tmp_path)


def _let_time_pass(demo: Demo, api: Api) -> None:
    """Time cannot be passed in moto: the expiry is moved to where the cloud's clock is already."""
    now = api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name="demo")
    names = ("GroupName", "Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    past = demo.clock.now() - timedelta(minutes=4)
    kept = {name: now[name] for name in names}
    api.call("scheduler", "update_schedule", StartDate=past, State="ENABLED", **kept)


def test_the_table_of_the_destroyers_rights_is_what_it_calls(demo: Recorded, api: Api) -> None:
    demo.clock.moment = datetime.now(UTC).replace(microsecond=0)
    arm(demo, demo.clock, instance="demo", term=Term(2 * HOUR), bundle=demo.packed())
    Leftovers(api, "demo", tags=TAGS).make()
    _let_time_pass(demo, api)
    fired = demo.switchboard.start("demo", mode="destroy")
    assert (fired.state, fired.reason) == ("succeeded", "")

    made = demo.recorder.made
    # who asks for his own name needs no right
    assert made - (looks() | ends() | switching()) == {"sts:GetCallerIdentity"}
    # the table has nothing that is not called, but for what an end like this one does not come to
    called = listing() | sweeping() | made
    assert {each for each in switching() | set(table()["switch_looks"]) if each not in called} == {
        *table()["switch_at_times"],
        *table()["lock_table"],
    }


class _Meddling(list[str]):
    """Hears what a destroyer says; at its first deletion somebody deletes its schedule."""

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api

    def append(self, text: str) -> None:
        if text.startswith("sweep: deleting") and not any(each.startswith("sweep:") for each in self):
            self._api.call("scheduler", "delete_schedule", GroupName=PARTS.group, Name="demo")
        super().append(text)


def test_a_schedule_that_is_deleted_in_the_middle_of_a_destroy_is_made_again(
    demo: Recorded, api: Api, server: MotoServer
) -> None:
    demo.clock.moment = datetime.now(UTC).replace(microsecond=0)
    arm(demo, demo.clock, instance="demo", term=Term(2 * HOUR), bundle=demo.packed())
    Leftovers(api, "demo", tags=TAGS).make()
    _let_time_pass(demo, api)
    demo.said = _Meddling(api)
    server.refuse("ec2:DeleteVolume", code="UnauthorizedOperation", status=403, times=99)
    fired = demo.switchboard.start("demo", mode="destroy")
    assert fired.state == "failed"
    # something is left: it fires again, as soon as it can
    again = demo.switchboard.schedule("demo")
    assert again is not None
    assert again.first_fire_at <= datetime.now(UTC) + timedelta(minutes=30)
    assert {"scheduler:GetScheduleGroup", "scheduler:CreateSchedule"} <= demo.recorder.made
    assert demo.recorder.made - (looks() | ends() | switching()) == {"sts:GetCallerIdentity"}
