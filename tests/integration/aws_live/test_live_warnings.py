"""The mails that announce an end, as schedules of their own in EventBridge Scheduler."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.aws_live.standing import PARTS
from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.errors import UsageError
from zave.ports.cloud import Schedule


def _listed(api: Api) -> list[str]:
    answer = api.call("scheduler", "list_schedules", GroupName=PARTS.group)
    return sorted(each["Name"] for each in answer["Schedules"])


def _raw(api: Api, name: str) -> dict[str, Any]:
    return api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name=name)


@pytest.fixture
def armed(cloud: LiveCloud, clock: FakeClock) -> Schedule:
    """A switch that fires in 48 h; the clock has whole seconds, as schedules have."""
    end = clock.now().replace(microsecond=0) + timedelta(hours=48)
    schedule = Schedule("demo", end, "instances/demo/bundle-abc.tar.gz", "abc")
    cloud.switchboard.set_schedule(schedule)
    return schedule


def test_each_is_sent_once_to_the_topic_and_then_gone(cloud: LiveCloud, api: Api, armed: Schedule) -> None:
    moment = armed.first_fire_at - timedelta(hours=6)
    cloud.switchboard.warn("demo", moments=[moment], text="the end is near")
    assert cloud.switchboard.warnings("demo") == [moment]
    found = _raw(api, f"demo.warn-{moment:%Y%m%dT%H%M%SZ}")
    assert found["ScheduleExpression"] == f"at({moment:%Y-%m-%dT%H:%M:%S})"
    assert found["ScheduleExpressionTimezone"] == "UTC"
    assert found["ActionAfterCompletion"] == "DELETE"
    assert found["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:sns:publish"
    assert found["Target"]["RoleArn"] == PARTS.scheduler_role_arn
    message = json.loads(found["Target"]["Input"])
    assert message == {
        "TopicArn": PARTS.topic_arn,
        "Subject": "zave: demo ends soon",
        "Message": "the end is near",
    }


def test_they_move_and_those_that_are_past_are_not_set(
    cloud: LiveCloud, api: Api, armed: Schedule, clock: FakeClock
) -> None:
    board, end = cloud.switchboard, armed.first_fire_at
    board.warn("demo", moments=[end - timedelta(hours=6), end - timedelta(hours=1)], text="soon")
    later = end + timedelta(hours=12)
    board.warn("demo", moments=[clock.now() - timedelta(hours=1), later - timedelta(hours=1)], text="soon")
    assert board.warnings("demo") == [later - timedelta(hours=1)]
    assert len(_listed(api)) == 2
    board.warn("demo", moments=[later - timedelta(hours=1)], text="soon")  # the same again
    assert len(_listed(api)) == 2


def test_they_are_no_switches_and_go_with_theirs(cloud: LiveCloud, api: Api, armed: Schedule) -> None:
    board = cloud.switchboard
    for instance in ("demo", "demo-2"):
        board.warn(instance, moments=[armed.first_fire_at - timedelta(hours=1)], text="soon")
    assert board.schedules() == [armed]
    board.remove_schedule("demo")
    assert board.schedule("demo") is None
    assert [name.partition(".")[0] for name in _listed(api)] == ["demo-2"]


def test_a_name_that_is_none_is_refused(cloud: LiveCloud, clock: FakeClock) -> None:
    with pytest.raises(UsageError):
        cloud.switchboard.warn("Not/AName", moments=[clock.now() + timedelta(hours=1)], text="soon")
