"""Schedules, the destroyer's builds, and time that passes through every fire."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from zave.errors import InterruptedRunError, StepFailedError, ToolMissingError, UsageError
from zave.ports.cloud import Schedule
from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.operations import Process
from zave.rehearsal.viewpoint import Viewpoint
from zave.rehearsal.world import World

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account, Launcher

Arm = Callable[..., Schedule]
HOUR = 3600.0


def _now(world: World) -> datetime:
    return datetime.fromtimestamp(world.clock.timestamp(), UTC)


def _verbs(world: World, verb: str) -> list[str]:
    return [event.name for event in world.log() if event.verb == verb]


# the standing parts


def test_machinery_of_an_account_that_is_set_up_is_whole(
    world: World, account: "Account", cloud: SimulatedCloud
) -> None:
    account.switch()
    assert cloud.switchboard.machinery().ready
    assert not cloud.switchboard.machinery().subscription_confirmed
    world.clock.advance(600)
    assert cloud.switchboard.machinery().subscription_confirmed


@pytest.mark.parametrize(
    ("type_", "name", "part"),
    [
        ("aws_codebuild_project", "zave-destroyer", "destroyer project"),
        ("aws_scheduler_schedule_group", "zave-switch", "schedule group"),
        ("aws_sqs_queue", "zave-undelivered", "dead-letter queue"),
        ("aws_sns_topic", "zave-alarms", "topic for alarms"),
        ("aws_s3_bucket", "zave-state-123456789012", "state bucket"),
        ("aws_iam_role", "zave-scheduler", "roles of scheduler and destroyer"),
    ],
)
def test_machinery_names_the_part_that_is_missing(
    world: World, account: "Account", cloud: SimulatedCloud, type_: str, name: str, part: str
) -> None:
    account.switch()
    assert world.lose(type_, name)
    assert cloud.switchboard.machinery().missing == (part,)


def test_machinery_names_what_was_altered(world: World, account: "Account", cloud: SimulatedCloud) -> None:
    account.switch()
    role = next(t for t in account.of("aws_iam_role") if t.name == "zave-scheduler")
    world.update(role.key, {**role.attributes, "permissions_boundary": None})
    project = account.of("aws_codebuild_project")[0]
    world.update(project.key, {**project.attributes, "service_role": "arn:aws:iam::1:role/other"})
    assert cloud.switchboard.machinery().missing == (
        "permissions boundary of role zave-scheduler",
        "service role of project zave-destroyer",
    )


def test_nothing_is_there_before_the_set_up(cloud: SimulatedCloud) -> None:
    assert len(cloud.switchboard.machinery().missing) == 6


# schedules


def test_schedule_is_read_back_as_it_was_set(cloud: SimulatedCloud, arm: Arm) -> None:
    schedule = arm("demo", hours=48)
    assert cloud.switchboard.schedule("demo") == schedule
    assert cloud.switchboard.schedules() == [schedule]
    moved = replace(schedule, first_fire_at=schedule.first_fire_at + timedelta(hours=1), enabled=False)
    cloud.switchboard.set_schedule(moved)
    assert cloud.switchboard.schedule("demo") == moved
    cloud.switchboard.remove_schedule("demo")
    cloud.switchboard.remove_schedule("demo")
    assert cloud.switchboard.schedule("demo") is None


def test_schedules_are_no_things_of_the_inventory(cloud: SimulatedCloud, arm: Arm) -> None:
    arm("demo", hours=48)
    assert not any(item.type == "aws_scheduler_schedule" for item in cloud.inventory.items())


def test_schedule_in_the_past_is_refused_as_by_aws(world: World, cloud: SimulatedCloud, arm: Arm) -> None:
    schedule = arm("demo", hours=1)
    almost = replace(schedule, first_fire_at=_now(world) - timedelta(minutes=4))
    cloud.switchboard.set_schedule(almost)
    with pytest.raises(StepFailedError) as caught:
        cloud.switchboard.set_schedule(replace(schedule, first_fire_at=_now(world) - timedelta(minutes=6)))
    assert "ValidationException" in str(caught.value.details)
    assert cloud.switchboard.schedule("demo") == almost
    with pytest.raises(StepFailedError, match="every 0 minutes"):
        cloud.switchboard.set_schedule(replace(schedule, every=0))


def test_schedule_without_its_group_is_refused(account: "Account", cloud: SimulatedCloud, arm: Arm) -> None:
    schedule = arm("demo", hours=1)
    account.world.lose("aws_scheduler_schedule_group", "zave-switch")
    with pytest.raises(StepFailedError, match="schedule group"):
        cloud.switchboard.set_schedule(schedule)


# builds


def test_destroyer_gets_the_bundle_and_nothing_of_the_users(
    world: World,
    cloud: SimulatedCloud,
    arm: Arm,
    launcher: "Launcher",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule = arm("demo", hours=48)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("ZAVE_PROJECT", "/somewhere")
    seen: dict[str, object] = {}

    def look(environment: Mapping[str, str]) -> int:
        build = Path(environment["HOME"]).parent
        seen["home"] = list((build / "home").iterdir())
        seen["state"] = list(Path(environment["ZAVE_STATE_DIR"]).iterdir())
        seen["bundle"] = (build / "bundle" / "manifest.json").read_bytes()
        seen["modes"] = {oct(path.stat().st_mode & 0o777) for path in build.iterdir() if path.is_dir()}
        run = cloud.switchboard.runs("demo")[0]
        seen["run"] = (run.id == environment["CODEBUILD_BUILD_ID"], run.state)
        return 0

    launcher.does = look
    run = cloud.switchboard.start("demo", mode="check")
    assert seen == {
        "home": [],
        "state": [],
        "bundle": b"demo",
        "modes": {"0o700"},
        "run": (True, "running"),
    }
    ((argv, environment),) = launcher.calls
    assert argv[:6] == (sys.executable, "-I", "-m", "zave", "reap", "--rehearse")
    assert argv[6] == "--from-bundle"
    assert argv[8:] == ("--mode", "check")
    assert environment["ZAVE_WORLD"] == str(world.path)
    assert environment["ZAVE_WORLD_CALLER"] == "switch"
    assert environment["ZAVE_BUNDLE_SHA256"] == schedule.bundle_sha256
    assert not {"AWS_SECRET_ACCESS_KEY", "ZAVE_PROJECT"} & set(environment)
    assert (run.state, run.instance, run.mode, run.reason) == ("succeeded", "demo", "check", "")
    assert run.finished_at is not None
    assert run.finished_at > run.started_at
    assert cloud.switchboard.run(run.id) == run
    assert list((world.folder / "builds").iterdir()) == []


def test_failed_destroyer_says_its_last_words(cloud: SimulatedCloud, arm: Arm, launcher: "Launcher") -> None:
    arm("demo", hours=48)
    launcher.does = lambda environment: 6
    run = cloud.switchboard.start("demo", mode="check")
    assert run.state == "failed"
    assert run.reason.startswith("exit code 6: last words")
    assert "\x1b" not in run.reason


def test_destroyer_that_cannot_start_has_failed(
    cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    arm("demo", hours=48)

    def missing(environment: Mapping[str, str]) -> int:
        raise ToolMissingError("python: not found")

    launcher.does = missing
    run = cloud.switchboard.start("demo", mode="check")
    assert (run.state, run.reason) == ("failed", "python: not found")


def test_interrupted_start_is_recorded_and_raised(
    cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    arm("demo", hours=48)

    def interrupt(environment: Mapping[str, str]) -> int:
        raise InterruptedRunError("interrupted")

    launcher.does = interrupt
    with pytest.raises(InterruptedRunError):
        cloud.switchboard.start("demo", mode="check")
    assert [(run.state, run.reason) for run in cloud.switchboard.runs("demo")] == [
        ("failed", "stopped with zave")
    ]


@pytest.mark.parametrize("damage", ["gone", "altered", "no archive"])
def test_destroyer_runs_no_bundle_but_the_schedules(
    cloud: SimulatedCloud, arm: Arm, launcher: "Launcher", damage: str
) -> None:
    schedule = arm("demo", hours=48)
    if damage == "gone":
        cloud.bucket.delete(schedule.bundle)
    elif damage == "altered":
        cloud.bucket.put(schedule.bundle, b"something else")
    else:
        content = b"no archive"
        cloud.bucket.put(schedule.bundle, content)
        digest = hashlib.sha256(content).hexdigest()
        cloud.switchboard.set_schedule(replace(schedule, bundle_sha256=digest))
    run = cloud.switchboard.start("demo", mode="check")
    assert run.state == "failed"
    assert run.reason
    assert launcher.calls == []


def test_start_without_a_schedule_or_project_is_refused(
    account: "Account", cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=48)
    with pytest.raises(StepFailedError, match="other has no schedule"):
        cloud.switchboard.start("other", mode="check")
    account.world.lose("aws_codebuild_project", "zave-destroyer")
    with pytest.raises(StepFailedError, match="destroyer project"):
        cloud.switchboard.start("demo", mode="check")


def test_unknown_run_is_refused(cloud: SimulatedCloud) -> None:
    with pytest.raises(StepFailedError, match="no run nonsense"):
        cloud.switchboard.run("nonsense")


def test_run_whose_machine_died_has_failed(world: World, cloud: SimulatedCloud, arm: Arm) -> None:
    arm("demo", hours=48)
    run = cloud.switchboard.start("demo", mode="check")
    # what a killed launcher leaves: a record of a run that nobody will end
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    pid = int(ended.stdout)
    assert Process(pid, 1).life() == "dead"
    record = world.get_document("destroyer_run", run.id)
    assert record is not None
    world.put_document("destroyer_run", run.id, {**record, "state": "running", "pid": pid, "started": 1})
    assert cloud.switchboard.run(run.id).state == "failed"
    assert cloud.switchboard.run(run.id).reason == "its machine died"
    left = world.folder / "builds" / run.id.rpartition(":")[2]
    left.mkdir()
    cloud.switchboard.start("demo", mode="check")
    assert not left.exists()


def test_build_that_outlives_its_launcher_is_still_at_work(
    world: World, cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=48)
    run = cloud.switchboard.start("demo", mode="check")
    record = world.get_document("destroyer_run", run.id)
    assert record is not None
    # pid 2^22 is above every pid of Linux
    world.put_document("destroyer_run", run.id, {**record, "state": "running", "pid": 1 << 22, "started": 1})
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", "input()"],
        stdin=subprocess.PIPE,
        env={**os.environ, "CODEBUILD_BUILD_ID": run.id},
    )
    try:
        assert cloud.switchboard.run(run.id).state == "running"
    finally:
        child.communicate(b"\n")
    assert cloud.switchboard.run(run.id).state == "failed"


def test_failing_destroyers_fail_as_often_as_told(world: World, cloud: SimulatedCloud, arm: Arm) -> None:
    arm("demo", hours=48)
    world.faults.add('fail destroyer with "no capacity" 2 times')
    states = [cloud.switchboard.start("demo", mode="check") for _ in range(3)]
    assert [(run.state, run.reason) for run in states] == [
        ("failed", "no capacity"),
        ("failed", "no capacity"),
        ("succeeded", ""),
    ]


def test_skewed_machines_see_another_time(
    world: World, account: "Account", arm: Arm, launcher: "Launcher"
) -> None:
    arm("demo", hours=48)
    skewed = SimulatedCloud(world, region="us-east-1", account="1", launch=launcher, skew=-900)
    skewed.switchboard.start("demo", mode="check")
    viewpoint = Viewpoint.of(launcher.calls[0][1])
    assert viewpoint == Viewpoint(caller="switch", skew=-900)
    theirs = World.open(world.path, viewpoint=viewpoint)
    assert theirs.clock.now() - world.clock.now() == timedelta(seconds=-900)
    assert theirs.clock.timestamp() == world.clock.timestamp()
    theirs.close()


def test_a_process_of_its_own_knows_whose_it_is(world: World) -> None:
    environment = {**os.environ, "ZAVE_WORLD_CALLER": "switch", "ZAVE_WORLD_SKEW": "60"}
    code = (
        "import sys; from pathlib import Path; from zave.rehearsal.world import World;"
        "w = World.open(Path(sys.argv[1])); print(w.viewpoint.caller, w.viewpoint.skew)"
    )
    said = subprocess.run(
        [sys.executable, "-I", "-c", code, str(world.path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert said.stdout == "switch 60.0\n"


# time passes


def _removing(cloud: SimulatedCloud, world: World, *, after: float = 0) -> Callable[[Mapping[str, str]], int]:
    def destroy(environment: Mapping[str, str]) -> int:
        world.clock.sleep(after)
        cloud.switchboard.remove_schedule(environment["ZAVE_INSTANCE"])
        return 0

    return destroy


def test_nothing_fires_before_the_expiry(world: World, cloud: SimulatedCloud, arm: Arm) -> None:
    arm("demo", hours=48)
    started = world.clock.timestamp()
    assert list(cloud.advance(47 * HOUR)) == []
    assert world.clock.timestamp() - started == pytest.approx(47 * HOUR)


def test_expiry_fires_once_when_the_destroyer_succeeds(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    schedule = arm("demo", hours=48)
    launcher.does = _removing(cloud, world, after=900)
    started = world.clock.timestamp()
    (run,) = list(cloud.advance(49 * HOUR))
    assert (run.mode, run.state) == ("destroy", "succeeded")
    assert run.started_at == schedule.first_fire_at
    assert run.finished_at is not None
    # the destroyer's own time counts
    assert run.finished_at - run.started_at > timedelta(seconds=900)
    assert world.clock.timestamp() - started == pytest.approx(49 * HOUR)


def test_failing_destroyer_is_called_every_half_hour_and_alarms_from_the_third(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    schedule = arm("demo", hours=1)
    world.faults.add("fail destroyer 4 times")
    launcher.does = _removing(cloud, world)
    runs = list(cloud.advance(10 * HOUR))
    assert [run.state for run in runs] == ["failed"] * 4 + ["succeeded"]
    assert [run.started_at - schedule.first_fire_at for run in runs] == [
        timedelta(minutes=30 * number) for number in range(5)
    ]
    alarms = [event for event in world.log() if event.verb == "alarm"]
    assert [event.virtual_at >= run.started_at for event, run in zip(alarms, runs[2:4], strict=True)]
    assert "failed 3 times in a row" in alarms[0].detail
    assert world.get_document("alarm", "demo")["count"] == 2  # type: ignore[index]


def test_a_fire_is_told_when_its_run_ends_and_not_when_all_have(
    world: World, cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=1)
    world.faults.add("fail destroyer always")
    started = world.clock.timestamp()
    passing = cloud.advance(9.9 * HOUR)
    assert next(passing).state == "failed"
    assert world.clock.timestamp() - started < 1.5 * HOUR
    assert len(list(passing)) > 10
    assert world.clock.timestamp() - started == pytest.approx(9.9 * HOUR)


def test_success_that_leaves_the_schedule_ends_the_count_of_failures(
    world: World, cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=1)
    world.faults.add("fail destroyer 2 times")
    world.faults.add("fail destroyer after 1 2 times")
    assert [run.state for run in list(cloud.advance(3.4 * HOUR))] == [
        "failed",
        "failed",
        "succeeded",
        "failed",
        "failed",
    ]
    assert _verbs(world, "alarm") == []


def test_fires_of_several_instances_come_in_their_order(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    for name, hours in (("late", 2.0), ("early", 1.0), ("between", 1.2)):
        arm(name, hours=hours)
    launcher.does = _removing(cloud, world, after=60)
    assert [run.instance for run in list(cloud.advance(3 * HOUR))] == ["early", "between", "late"]
    assert cloud.switchboard.schedules() == []


def test_fire_that_finds_a_destroyer_at_work_does_nothing(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    schedule = arm("demo", hours=1)

    def fail_late(environment: Mapping[str, str]) -> int:
        world.clock.sleep(45 * 60)
        return 1

    launcher.does = fail_late
    runs = list(cloud.advance(2.9 * HOUR))
    assert [run.started_at - schedule.first_fire_at for run in runs] == [
        timedelta(hours=0),
        timedelta(hours=1),
    ]


def test_fires_that_were_missed_are_made_up_for_once(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    arm("demo", hours=1)
    # time that passed without anybody asking the cloud to go on
    world.clock.advance(5.2 * HOUR)
    assert len(list(cloud.advance(60))) == 1
    assert len(list(cloud.advance(0.4 * HOUR))) == 1


def test_extended_instance_fires_at_its_new_end_only(
    world: World, cloud: SimulatedCloud, arm: Arm, launcher: "Launcher"
) -> None:
    schedule = arm("demo", hours=1)
    later = replace(schedule, first_fire_at=schedule.first_fire_at + timedelta(hours=24))
    cloud.switchboard.set_schedule(later)
    launcher.does = _removing(cloud, world)
    assert list(cloud.advance(24.9 * HOUR)) == []
    assert len(list(cloud.advance(0.2 * HOUR))) == 1


def test_disabled_schedule_does_not_fire(cloud: SimulatedCloud, arm: Arm) -> None:
    schedule = arm("demo", hours=1)
    cloud.switchboard.set_schedule(replace(schedule, enabled=False))
    assert list(cloud.advance(3 * HOUR)) == []


def test_fire_without_a_project_is_undelivered_and_counts(
    world: World, account: "Account", cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=1)
    world.lose("aws_codebuild_project", "zave-destroyer")
    assert list(cloud.advance(2.1 * HOUR)) == []
    assert len(_verbs(world, "fire")) == 3
    (alarm,) = (event for event in world.log() if event.verb == "alarm")
    assert "destroyer project" in alarm.detail


def test_expired_credentials_of_the_user_do_not_keep_the_cloud_from_firing(
    world: World, cloud: SimulatedCloud, arm: Arm
) -> None:
    arm("demo", hours=1)
    world.faults.add("expire credentials")
    assert [run.state for run in list(cloud.advance(1.2 * HOUR))] == ["succeeded"]


def test_time_does_not_run_backwards(cloud: SimulatedCloud) -> None:
    with pytest.raises(UsageError, match="backwards"):
        list(cloud.advance(-1))
