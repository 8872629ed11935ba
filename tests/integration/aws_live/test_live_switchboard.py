"""The switch by boto3: schedules and builds, and all that may be wrong with them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.aws_live.standing import (
    ACCOUNT,
    PARTS,
)
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.aws.switch import read_back
from zave.errors import StepFailedError, UsageError
from zave.ports.cloud import Schedule


@pytest.fixture
def wanted(clock: FakeClock) -> Schedule:
    """A schedule as `arm` sets one."""
    at = clock.now() + timedelta(hours=48)
    return Schedule(
        "demo",
        at,
        "instances/demo/bundle-abc.tar.gz",
        "abc",
        programs="account/programs-def.tar.gz",
        programs_sha256="def",
    )


def _raw(api: Api) -> dict[str, Any]:
    return api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name="demo")


# schedules


def test_a_schedule_is_read_back_as_it_was_set(cloud: LiveCloud, wanted: Schedule) -> None:
    board = cloud.switchboard
    assert board.schedule("demo") is None
    board.set_schedule(wanted)
    assert board.schedule("demo") == wanted
    later = replace(wanted, first_fire_at=wanted.first_fire_at + timedelta(hours=5))
    board.set_schedule(later)
    assert board.schedule("demo") == later
    board.remove_schedule("demo")
    board.remove_schedule("demo")
    assert board.schedule("demo") is None


def test_a_schedule_fires_until_it_is_removed_and_says_where_a_lost_fire_goes(
    cloud: LiveCloud, api: Api, wanted: Schedule
) -> None:
    cloud.switchboard.set_schedule(wanted)
    found = _raw(api)
    assert found["ScheduleExpression"] == "rate(30 minutes)"
    assert found["StartDate"] == wanted.first_fire_at
    assert found.get("EndDate") is None
    assert found["ActionAfterCompletion"] == "NONE"
    assert found["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = found["Target"]
    assert target["Arn"] == "arn:aws:scheduler:::aws-sdk:codebuild:startBuild"
    assert target["RoleArn"] == PARTS.scheduler_role_arn
    assert target["DeadLetterConfig"] == {
        "Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:zave-undelivered-{ACCOUNT}"
    }
    told = json.loads(target["Input"])
    assert told["ProjectName"] == PARTS.project
    assert {each["Name"]: each["Value"] for each in told["EnvironmentVariablesOverride"]} == {
        "ZAVE_INSTANCE": "demo",
        "ZAVE_BUNDLE": wanted.bundle,
        "ZAVE_BUNDLE_SHA256": "abc",
        "ZAVE_PROGRAMS": wanted.programs,
        "ZAVE_PROGRAMS_SHA256": "def",
        "ZAVE_MODE": "destroy",
    }


def test_an_update_sends_all_that_the_first_setting_sent(
    cloud: LiveCloud, api: Api, wanted: Schedule
) -> None:
    cloud.switchboard.set_schedule(wanted)
    before = _raw(api)
    cloud.switchboard.set_schedule(wanted)
    after = _raw(api)
    dates = {"LastModificationDate", "CreationDate", "ResponseMetadata"}
    assert {k: v for k, v in after.items() if k not in dates} == {
        k: v for k, v in before.items() if k not in dates
    }


def test_a_schedule_that_was_switched_off_is_on_again_once_it_is_set(
    cloud: LiveCloud, wanted: Schedule
) -> None:
    off = replace(wanted, enabled=False)
    cloud.switchboard.set_schedule(off)
    assert cloud.switchboard.schedule("demo") == off
    cloud.switchboard.set_schedule(wanted)
    assert cloud.switchboard.schedule("demo") == wanted


def test_all_schedules_of_the_group_and_nobody_elses(cloud: LiveCloud, api: Api, wanted: Schedule) -> None:
    others = replace(wanted, instance="other")
    for each in (wanted, others):
        cloud.switchboard.set_schedule(each)
    api.call(
        "scheduler",
        "create_schedule",
        Name="backup",
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": PARTS.queue_arn, "RoleArn": PARTS.scheduler_role_arn},
    )
    assert cloud.switchboard.schedules() == [wanted, others]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"first_fire_at": timedelta(minutes=-6)}, StepFailedError),
        ({"every": 0}, StepFailedError),
        ({"instance": "Not/AName"}, UsageError),
    ],
)
def test_what_aws_would_take_without_a_word_is_refused_here(
    change: dict[str, Any], error: type[Exception], cloud: LiveCloud, wanted: Schedule, clock: FakeClock
) -> None:
    if "first_fire_at" in change:
        change = {"first_fire_at": clock.now() + change["first_fire_at"]}
    with pytest.raises(error):
        cloud.switchboard.set_schedule(replace(wanted, **change))
    assert cloud.switchboard.schedules() == []


def test_without_the_group_nothing_can_be_set(api: Api, clock: FakeClock, wanted: Schedule) -> None:
    board = LiveCloud(api, clock=clock).switchboard
    assert board.schedule("demo") is None
    assert board.schedules() == []
    board.remove_schedule("demo")
    with pytest.raises(StepFailedError, match="schedule group of the switch is missing"):
        board.set_schedule(wanted)


def _changed(api: Api, **changes: Any) -> None:
    """Change the schedule as somebody in the console would."""
    now = _raw(api)
    names = (
        "GroupName",
        "Name",
        "ScheduleExpression",
        "StartDate",
        "State",
        "FlexibleTimeWindow",
        "Target",
    )
    api.call("scheduler", "update_schedule", **{**{name: now[name] for name in names}, **changes})


def _target(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda now: {"Target": {**now["Target"], **changes}}


def _input(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Change the parameters of StartBuild."""

    def change(now: dict[str, Any]) -> dict[str, Any]:
        given = {**json.loads(now["Target"]["Input"]), **changes}
        return {"Target": {**now["Target"], "Input": json.dumps(given)}}

    return change


def _variables(
    change: Callable[[list[dict[str, str]]], list[dict[str, str]]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(now: dict[str, Any]) -> dict[str, Any]:
        told = json.loads(now["Target"]["Input"])["EnvironmentVariablesOverride"]
        return _input(EnvironmentVariablesOverride=change(told))(now)

    return changed


def _told(**changes: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Tell the build something else."""
    new = [{"Name": name, "Type": "PLAINTEXT", "Value": value} for name, value in changes.items()]
    return _variables(lambda told: [each for each in told if each["Name"] not in changes] + new)


def _twice(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return _variables(lambda told: [*told, *(each for each in told if each["Name"] == name)])


def _stored(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The value is the name of a parameter now."""
    return _variables(
        lambda told: [{**e, "Type": "PARAMETER_STORE"} if e["Name"] == name else e for e in told]
    )


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (lambda now: {"ScheduleExpression": "cron(0 0 * * ? *)"}, "its rate"),
        (lambda now: {"StartDate": None}, "its start"),
        (lambda now: {"EndDate": now["StartDate"] + timedelta(hours=1)}, "an end"),
        (
            lambda now: {"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 900}},
            "its window",
        ),
        (_target(Arn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:elsewhere"), "its target"),
        (_target(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/other"), "its role"),
        (_target(DeadLetterConfig={}), "its dead-letter queue"),
        (_target(Input="{}"), "its project"),
        (_target(Input='{"ProjectName": "zave-destroyer-123456789012"}'), "its instance"),
        (_target(Input="[1, 2"), "its input"),
        (lambda now: {"ScheduleExpression": "rate(365 days)"}, "its rate, every 525600 minutes"),
        (lambda now: {"KmsKeyArn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a"}, "its key"),
        (_target(RetryPolicy={"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}), "its retries"),
        (_told(ZAVE_MODE="check"), "its mode"),
        (_told(ZAVE_BUNDLE_SHA256="0" * 64), "its bundle, which is not the one of its digest"),
        (_told(PATH="/elsewhere"), "PATH"),
        (_input(BuildspecOverride="version: 0.2"), "BuildspecOverride"),
        (_input(ServiceRoleOverride=f"arn:aws:iam::{ACCOUNT}:role/x"), "ServiceRoleOverride"),
        (_twice("ZAVE_MODE"), "a variable twice"),
        (_stored("ZAVE_MODE"), "its mode"),
    ],
)
def test_a_schedule_that_was_altered_says_in_what(
    change: Callable[[dict[str, Any]], dict[str, Any]],
    flaw: str,
    cloud: LiveCloud,
    api: Api,
    wanted: Schedule,
    clock: FakeClock,
) -> None:
    cloud.switchboard.set_schedule(wanted)
    changes = change(_raw(api))
    if changes.get("StartDate", "") is None:
        now = {key: _raw(api)[key] for key in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
        named = {"GroupName": PARTS.group, "Name": "demo"}
        api.call("scheduler", "update_schedule", State="ENABLED", **named, **now)
    else:
        _changed(api, **changes)
    found = cloud.switchboard.schedule("demo")
    assert found is not None
    assert found != wanted
    status = read_back(cloud, clock, instance="demo")
    assert not status.armed
    assert any(flaw in warning.text for warning in status.warnings)
    # setting it again mends it
    cloud.switchboard.set_schedule(wanted)
    assert cloud.switchboard.schedule("demo") == wanted


def test_the_order_of_what_a_build_is_told_does_not_matter(
    cloud: LiveCloud, api: Api, wanted: Schedule
) -> None:
    cloud.switchboard.set_schedule(wanted)
    _changed(api, **_variables(lambda told: told[::-1])(_raw(api)))
    assert cloud.switchboard.schedule("demo") == wanted


def test_a_schedule_without_a_start_is_past_since_it_was_changed(
    cloud: LiveCloud, api: Api, wanted: Schedule
) -> None:
    """It fires already, so it must not say that the instance lives until now, at every look again."""
    cloud.switchboard.set_schedule(wanted)
    now = {key: _raw(api)[key] for key in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    api.call("scheduler", "update_schedule", State="ENABLED", GroupName=PARTS.group, Name="demo", **now)
    first, again = (cloud.switchboard.schedule("demo") for _ in range(2))
    assert first is not None
    assert first == again
    assert first.first_fire_at <= cloud.now() + timedelta(seconds=1)
    assert first.flaws == ("its start",)


# runs


def test_a_run_is_told_what_the_schedule_would_tell_it(
    cloud: LiveCloud, wanted: Schedule, server: MotoServer
) -> None:
    cloud.switchboard.set_schedule(wanted)
    run = cloud.switchboard.start("demo", mode="check")
    assert (run.instance, run.mode, run.state, run.finished_at) == ("demo", "check", "running", None)
    assert cloud.switchboard.run(run.id) == run
    server.end_build(run.id, status="SUCCEEDED")
    ended = cloud.switchboard.run(run.id)
    assert (ended.instance, ended.mode, ended.state) == ("demo", "check", "succeeded")
    assert ended.finished_at is not None


@pytest.mark.parametrize("status", ["FAILED", "FAULT", "STOPPED", "TIMED_OUT"])
def test_whatever_did_not_succeed_failed_and_says_why(
    status: str, cloud: LiveCloud, wanted: Schedule, server: MotoServer
) -> None:
    cloud.switchboard.set_schedule(wanted)
    run = cloud.switchboard.start("demo", mode="destroy")
    server.end_build(run.id, status=status, reason="exit status 6\x1b[31m")
    ended = cloud.switchboard.run(run.id)
    assert ended.state == "failed"
    assert status in ended.reason
    assert "exit status 6" in ended.reason
    assert "\x1b" not in ended.reason


def test_runs_are_the_instances_own_newest_first(cloud: LiveCloud, wanted: Schedule) -> None:
    for name in ("demo", "other"):
        cloud.switchboard.set_schedule(replace(wanted, instance=name))
    ids = [cloud.switchboard.start("demo", mode="check").id for _ in range(3)]
    cloud.switchboard.start("other", mode="destroy")
    found = cloud.switchboard.runs("demo")
    assert {run.id for run in found} == set(ids)
    assert [run.started_at for run in found] == sorted((r.started_at for r in found), reverse=True)


def test_an_unknown_run_and_one_without_a_schedule_are_refused(cloud: LiveCloud) -> None:
    with pytest.raises(StepFailedError, match="no run"):
        cloud.switchboard.run(f"{PARTS.project}:00000000-0000-4000-8000-000000000000")
    with pytest.raises(StepFailedError, match="demo has no schedule"):
        cloud.switchboard.start("demo", mode="destroy")


def test_without_the_project_nothing_can_be_started(cloud: LiveCloud, api: Api, wanted: Schedule) -> None:
    cloud.switchboard.set_schedule(wanted)
    api.call("codebuild", "delete_project", name=PARTS.project)
    assert cloud.switchboard.runs("demo") == []
    with pytest.raises(StepFailedError, match="destroyer project of the switch is missing"):
        cloud.switchboard.start("demo", mode="check")
