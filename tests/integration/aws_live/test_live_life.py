"""One demo's switch from its arming to its end, by the real adapters; and what keeps one from beginning."""

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.integration.aws_live.codebuild import ActingSwitchboard
from tests.integration.aws_live.leftovers import Leftovers
from tests.integration.aws_live.standing import ACCOUNT, PARTS, REGION
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import Account, FakeClock, FakeCluster
from zave.aws.arming import Term, arm
from zave.aws.bundle import Packed, load_bundle, unpack
from zave.aws.destroyer import Destroyer, Gear
from zave.aws.keys import bundle_prefix, check_key, receipt_prefix
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.aws.locks import Worker
from zave.aws.switch import Extension, extend, read_back
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.ports.cloud import DestroyerRun, Schedule

HOUR = 3600.0
LAPTOP = Worker("up-1", "up", "laptop")
TAGS = {"zave:instance": "demo", "zave:environment": "aws-demo", "zave:owner": "me@example.org"}


class Demo(LiveCloud):
    """The account, with a CodeBuild that works."""

    def __init__(self, server: MotoServer, clock: FakeClock, folder: Path) -> None:
        self.api = Api(region=REGION, endpoint_url=server.url, attempts=1)
        super().__init__(self.api, clock=clock)
        self.clock = clock
        self.said: list[str] = []
        self._folder = folder
        self._acting = ActingSwitchboard(self.api, server=server, clock=clock, act=self._act)

    @property
    def switchboard(self) -> SchedulerSwitchboard:
        return self._acting

    def packed(self, **facts: object) -> Packed:
        return Account(self._folder).packed("demo", **facts)

    def _act(self, run: DestroyerRun, schedule: Schedule) -> str:
        place = self._folder / run.id.rpartition(":")[2]
        unpack(self.bucket.get(schedule.bundle) or b"", place / "bundle")
        bundle = load_bundle(place / "bundle", work=place / "work")
        account = Account(self._folder)
        take_back = partial(FakeCluster(account).take_back, instance=run.instance)
        gear = Gear(self, take_back, self.clock, account.terraform, self.said.append, lambda item: 0.1)
        destroyer = Destroyer(gear, bundle, run.id, place)
        try:
            destroyer.check() if run.mode == "check" else destroyer.destroy()
        except ZaveError as error:
            return error.brief
        return ""


@pytest.fixture
def demo(cloud: LiveCloud, server: MotoServer, clock: FakeClock, tmp_path: Path) -> Demo:
    """An account that is set up."""
    return Demo(server, clock, tmp_path)


def armed(demo: Demo, *, hours: float = 48) -> None:
    arm(demo, demo.clock, instance="demo", term=Term(hours * HOUR), bundle=demo.packed())


def test_a_demo_is_armed_proven_extended_fired_and_gone(demo: Demo, api: Api, server: MotoServer) -> None:
    # moto dates builds by the machine's clock: the test's begins there
    demo.clock.moment = datetime.now(UTC).replace(microsecond=0)
    found = arm(demo, demo.clock, instance="demo", term=Term(2 * HOUR), bundle=demo.packed())
    assert (found.proof.mode, found.proof.state) == ("check", "succeeded")
    assert demo.bucket.get(check_key("demo", found.proof.id)) is not None
    status = read_back(demo, demo.clock, instance="demo", warn=())
    assert status.armed
    assert status.warnings == ()
    assert status.expires_at == found.expires_at

    Leftovers(api, "demo", tags=TAGS).make()
    neighbours = Leftovers(api, "demo-b", tags={**TAGS, "zave:instance": "demo-b"}, cidr="10.2")
    neighbours.make()
    theirs = [item for item in demo.inventory.items() if item.owner == "demo-b"]

    # too early: nothing is touched
    early = demo.switchboard.start("demo", mode="destroy")
    assert (early.state, "lives until" in early.reason) == ("failed", True)
    assert [item for item in demo.inventory.items() if item.owner == "demo"]

    # the expiry is moved to where the cloud's clock is already, as time cannot be passed in moto
    until = demo.clock.now() + timedelta(minutes=10)
    moved = extend(
        demo,
        demo.clock,
        instance="demo",
        extension=Extension(until, demo.clock.now(), 48 * HOUR),
        worker=LAPTOP,
    )
    assert demo.switchboard.schedule("demo") == moved
    past = demo.clock.now() - timedelta(minutes=4)
    now = api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name="demo")
    names = ("GroupName", "Name", "ScheduleExpression", "State", "FlexibleTimeWindow", "Target")
    kept = {name: now[name] for name in names}
    api.call("scheduler", "update_schedule", StartDate=past, **kept)

    fired = demo.switchboard.start("demo", mode="destroy")
    assert (fired.state, fired.reason) == ("succeeded", "")
    assert [item.state for item in demo.inventory.items() if item.owner == "demo"] == ["pending-deletion"]
    assert [item for item in demo.inventory.items() if item.owner == "demo-b"] == theirs
    assert demo.switchboard.schedules() == []
    (receipt,) = demo.bucket.list(receipt_prefix("demo"))
    assert b'"leaks": []' in (demo.bucket.get(receipt.key) or b"")


BILLABLE = (
    "ec2:Run",
    "ec2:Create",
    "ec2:Allocate",
    "eks:POST /clusters",
    "elasticloadbalancing:Create",
    "rds:Create",
    "kms:Create",
)


@pytest.mark.parametrize(
    ("refused", "times"),
    [
        ("scheduler:PUT /schedules", 1),
        ("scheduler:POST /schedules", 1),
        ("codebuild:StartBuild", 1),
        ("codebuild:BatchGetBuilds", 99),
        ("s3:PUT", 1),
        ("ec2:DescribeVpcs", 1),
        ("iam:GetRole", 1),
    ],
)
def test_where_arming_fails_nothing_billable_is_made(
    refused: str, times: int, demo: Demo, server: MotoServer
) -> None:
    before = len(server.calls())
    server.refuse(refused, code="AccessDeniedException", status=403, times=times)
    with pytest.raises((PreconditionError, StepFailedError)):
        armed(demo)
    made = server.calls()[before:]
    assert made
    assert [call for call in made if call.startswith(BILLABLE)] == []


@pytest.mark.parametrize("part", ["scheduler group", "project", "queue"])
def test_without_a_standing_part_nothing_is_armed(part: str, demo: Demo, api: Api) -> None:
    {
        "scheduler group": lambda: api.call("scheduler", "delete_schedule_group", Name=PARTS.group),
        "project": lambda: api.call("codebuild", "delete_project", name=PARTS.project),
        "queue": lambda: api.call("sqs", "delete_queue", QueueUrl=f"http://sqs/{ACCOUNT}/{PARTS.queue}"),
    }[part]()
    with pytest.raises(PreconditionError, match="standing parts are missing or altered"):
        armed(demo)
    assert demo.bucket.list(bundle_prefix("demo")) == []


def test_a_bundle_of_another_account_destroys_nothing(demo: Demo, api: Api) -> None:
    Leftovers(api, "demo", tags=TAGS).network()
    bundle = demo.packed(account="999999999999")
    with pytest.raises(PreconditionError, match="its check failed") as refused:
        arm(demo, demo.clock, instance="demo", term=Term(HOUR), bundle=bundle)
    assert "999999999999" in (refused.value.details or "")
    assert [item for item in demo.inventory.items() if item.owner == "demo"]
