"""The rehearsed switch: EventBridge Scheduler and the destroyer's project, in the world.

Schedules are documents of the world, as they have no tags and belong to no Terraform state. The standing
parts are what `zave account setup` had Terraform make.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Machinery, Mode, Schedule
from zave.rehearsal.alterations import altered, let_somebody_alter
from zave.rehearsal.aws_family import Family
from zave.rehearsal.builds import Builds, Launch
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World

_KIND = "schedule"
_WARNINGS = "warnings"
# a StartDate further back than this is refused (EventBridge Scheduler user guide, schedule types)
_PAST = timedelta(minutes=5)
# from the third failed fire on each one alarms (design)
_PATIENCE = 3
# virtual seconds after which whoever got the mail of SNS has opened its link: assumed
_CONFIRMED_AFTER = timedelta(minutes=10)
_UNDELIVERED = "undelivered"
_SUBSCRIBER = "subscriber"
_PROJECT = "aws_codebuild_project"
_QUEUE = "aws_sqs_queue"
_GROUP = "aws_scheduler_schedule_group"
_TOPIC = "aws_sns_topic"
_PARTS: Mapping[str, str] = {
    "aws_s3_bucket": "state bucket",
    _GROUP: "schedule group",
    _PROJECT: "destroyer project",
    _QUEUE: "dead-letter queue",
    _TOPIC: "topic for alarms",
}
# the scheduler's, the project's
_ROLES = 2


@dataclass(frozen=True)
class Fire:
    """A moment at which the schedule of `instance` fires."""

    at: datetime
    instance: str


class SimulatedSwitchboard:
    """Implements `zave.ports.cloud.Switchboard` over a world.

    `ask` is called with service and call before each call of an API and raises when it cannot be
    reached; `launch` starts the destroyer, and `skew` is how wrong the clocks of its machines are.
    `bucket` is the one that the spec names; whoever only lets time pass names none.
    """

    def __init__(
        self,
        world: World,
        *,
        ask: Callable[[str, str], None],
        launch: Launch,
        skew: float = 0.0,
        bucket: str | None = None,
    ) -> None:
        self._world = world
        self._ask = ask
        self._bucket = bucket
        self._launch = launch
        self._skew = skew

    # the standing parts

    def machinery(self) -> Machinery:
        """Read the standing parts back, and compare them with what Terraform made."""
        self._ask("codebuild", "BatchGetProjects")
        let_somebody_alter(self._world, self._standing())
        standing = self._standing()
        types = {thing.type for thing in standing}
        missing = [title for type_, title in _PARTS.items() if type_ not in types]
        roles = [thing for thing in standing if thing.type == "aws_iam_role"]
        if len(roles) < _ROLES:
            missing.append("roles of scheduler and destroyer")
        missing += [
            f"permissions boundary of role {role.name}"
            for role in roles
            if not role.attributes.get("permissions_boundary")
        ]
        known = {role.attributes.get("arn") for role in roles}
        missing += [
            f"service role of project {thing.name}"
            for thing in standing
            if thing.type == _PROJECT and thing.attributes.get("service_role") not in known
        ]
        missing += [
            f"environment of project {thing.name}"
            for thing in standing
            if thing.type == _PROJECT and self._bucket not in (None, _told_bucket(thing))
        ]
        missing += altered(self._world, standing, told=(*_PARTS, "aws_iam_role"))
        lost = (self._world.get_document(_UNDELIVERED, _QUEUE) or {}).get("count", 0)
        told = self._subscribers(standing)
        return Machinery(tuple(sorted(missing)), any(told.values()), undelivered=lost, subscribers=told)

    def _standing(self) -> Sequence[Thing]:
        things = [each for each in self._world.things(provider="aws") if each.state == "present"]
        family = Family(things)
        return [thing for thing in things if family.belonging(thing).standing]

    def _subscribers(self, standing: Sequence[Thing]) -> dict[str, bool]:
        """Who hears of alarms: Terraform's own subscription, and those that armings added to that topic."""
        topics = {thing.key for thing in standing if thing.type == _TOPIC}
        since = {
            email: datetime.fromtimestamp(each["at"], UTC)
            for email, each in self._world.documents(_SUBSCRIBER).items()
            if each["topic"] in topics
        }
        since |= {
            str(thing.attributes.get("endpoint", "")).lower(): thing.created_at
            for thing in standing
            if thing.type == "aws_sns_topic_subscription"
        }
        now = self._world.clock.timestamp()
        return {email: (at + _CONFIRMED_AFTER).timestamp() <= now for email, at in since.items()}

    def subscribe(self, email: str) -> None:
        """Have the topic tell that address as well, once its link was opened."""
        self._ask("sns", "Subscribe")
        topic = self._require(_TOPIC, "sns:Subscribe")
        if email.lower() in self._subscribers(self._standing()):
            return
        with self._world.transaction() as ledger:
            ledger.put_document(_SUBSCRIBER, email.lower(), {"topic": topic.key, "at": ledger.now})
            ledger.log("subscribe", _TOPIC, email.lower(), detail="simulated: no mail is sent")

    def works_from(self) -> str | None:
        """The name of the bucket that the destroyer's project reads; None where there is no project."""
        self._ask("codebuild", "BatchGetProjects")
        projects = (thing for thing in self._standing() if thing.type == _PROJECT)
        return next((_told_bucket(project) for project in projects), None)

    # schedules

    def schedule(self, instance: str) -> Schedule | None:
        """The instance's schedule as the cloud has it now."""
        self._ask("scheduler", "GetSchedule")
        return self._schedule(instance)

    def schedules(self) -> Sequence[Schedule]:
        """All schedules of zave's group."""
        self._ask("scheduler", "ListSchedules")
        return [_schedule_of(document) for document in self._world.documents(_KIND).values()]

    def set_schedule(self, schedule: Schedule) -> None:
        """Create or replace. Raises StepFailedError for what AWS refuses."""
        self._ask("scheduler", "UpdateSchedule")
        self._require(_GROUP, "scheduler:UpdateSchedule")
        now = datetime.fromtimestamp(self._world.clock.timestamp(), UTC)
        if schedule.first_fire_at < now - _PAST:
            raise StepFailedError(
                f"the schedule of {schedule.instance} would begin in the past",
                details="ValidationException: The StartDate cannot be earlier than 5 minutes ago.",
                resolution="give a time to come",
            )
        if schedule.every < 1:
            raise StepFailedError(
                f"the schedule of {schedule.instance} fires every {schedule.every} minutes",
                details="ValidationException: Invalid Schedule Expression",
            )
        with self._world.transaction() as ledger:
            before = ledger.document(_KIND, schedule.instance)
            ledger.put_document(_KIND, schedule.instance, _document(schedule, before))
            told = f"from {schedule.first_fire_at.isoformat()} every {schedule.every} minutes"
            ledger.log("schedule", _KIND, schedule.instance, detail=told)

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        """Have the topic told `text` at these moments and at no others; past ones are left out."""
        self._ask("scheduler", "CreateSchedule")
        now = self._world.clock.timestamp()
        with self._world.transaction() as ledger:
            ahead = sorted(moment.timestamp() for moment in moments if moment.timestamp() > now)
            ledger.put_document(_WARNINGS, instance, {"moments": ahead, "text": text})

    def warnings(self, instance: str) -> Sequence[datetime]:
        """The moments still to come at which the topic is told, in order."""
        self._ask("scheduler", "ListSchedules")
        document = self._world.get_document(_WARNINGS, instance) or {"moments": []}
        return [datetime.fromtimestamp(moment, UTC) for moment in document["moments"]]

    def remove_schedule(self, instance: str) -> None:
        """Remove, its warnings too; absent is fine."""
        self._ask("scheduler", "DeleteSchedule")
        with self._world.transaction() as ledger:
            ledger.delete_document(_WARNINGS, instance)
            if ledger.delete_document(_KIND, instance):
                ledger.log("unschedule", _KIND, instance)

    # runs

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        """Run the destroyer now, to its end. Raises StepFailedError when it cannot be started."""
        self._ask("codebuild", "StartBuild")
        schedule = candidate or self._schedule(instance)
        if schedule is None:
            raise StepFailedError(
                f"{instance} has no schedule, so there is nothing that the destroyer could run",
                details="ResourceNotFoundException: Schedule does not exist.",
                resolution=f"zave up {instance} arms it",
            )
        return self._builds().run(schedule, mode=mode)

    def run(self, run_id: str) -> DestroyerRun:
        """The run's present state. Raises StepFailedError for one that is not known."""
        self._ask("codebuild", "BatchGetBuilds")
        return Builds(self._world, "", self._launch).found(run_id)

    def runs(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        self._ask("codebuild", "BatchGetBuilds")
        return Builds(self._world, "", self._launch).all(instance)

    # the cloud's own doing: no call of anybody's

    def next_fire(self, *, until: datetime) -> Fire | None:
        """The next fire that is due by `until`; of several missed ones the last."""
        now = self._world.clock.timestamp()
        fires = []
        for instance, document in self._world.documents(_KIND).items():
            due = _due(document, now=now)
            if document["enabled"] and due <= until.timestamp():
                fires.append(Fire(datetime.fromtimestamp(due, UTC), instance))
        return min(fires, key=lambda fire: (fire.at, fire.instance), default=None)

    def next_warning(self, *, until: datetime) -> Fire | None:
        """The next warning that is due by `until`."""
        due = [
            Fire(datetime.fromtimestamp(document["moments"][0], UTC), instance)
            for instance, document in self._world.documents(_WARNINGS).items()
            if document["moments"] and document["moments"][0] <= until.timestamp()
        ]
        return min(due, key=lambda fire: (fire.at, fire.instance), default=None)

    def send_warning(self, warning: Fire) -> None:
        """What SNS would mail; no mail is sent, and without a confirmed address none would be."""
        heard = (
            "mailed" if any(self._subscribers(self._standing()).values()) else "nobody confirmed the address"
        )
        with self._world.transaction() as ledger:
            document = ledger.document(_WARNINGS, warning.instance)
            if document is None:
                return
            left = [moment for moment in document["moments"] if moment > warning.at.timestamp()]
            ledger.put_document(_WARNINGS, warning.instance, {**document, "moments": left})
            said = str(document["text"]).partition("\n")[0]
            ledger.log("warn", _TOPIC, warning.instance, detail=f"{said} (simulated: {heard})")

    def fire(self, fire: Fire) -> DestroyerRun | None:
        """Let a schedule fire: run the destroyer to its end, count failures, alarm from the third on."""
        schedule = self._schedule(fire.instance)
        if schedule is None:
            return None
        with self._world.transaction() as ledger:
            _mark_fired(ledger, fire.instance, fire.at.timestamp())
            ledger.log("fire", _KIND, fire.instance, detail=f"due at {fire.at.isoformat()}")
        run: DestroyerRun | None = None
        try:
            run = self._builds().run(schedule, mode="destroy")
            failed, reason = run.state == "failed", run.reason
        except StepFailedError as error:
            # what could not be delivered ends in the dead-letter queue
            failed, reason = True, error.brief
            self._keep_undelivered()
        with self._world.transaction() as ledger:
            # what fell due meanwhile found a destroyer at work
            _mark_fired(ledger, fire.instance, ledger.now)
            _count(ledger, fire.instance, failed=failed, reason=reason)
        return run

    def _keep_undelivered(self) -> None:
        with self._world.transaction() as ledger:
            kept = (ledger.document(_UNDELIVERED, _QUEUE) or {}).get("count", 0)
            ledger.put_document(_UNDELIVERED, _QUEUE, {"count": kept + 1})

    def _builds(self) -> Builds:
        project = self._require(_PROJECT, "codebuild:StartBuild")
        return Builds(self._world, project.name, self._launch, self._skew)

    def _require(self, type_: str, call: str) -> Thing:
        for thing in self._standing():
            if thing.type == type_:
                return thing
        raise StepFailedError(
            f"the {_PARTS[type_]} of the switch is missing in this account",
            details=f"{call}: ResourceNotFoundException",
            resolution="zave account setup makes it",
        )

    def _schedule(self, instance: str) -> Schedule | None:
        document = self._world.get_document(_KIND, instance)
        return None if document is None else _schedule_of(document)


def _told_bucket(project: Thing) -> str | None:
    told = {
        each["name"]: each["value"]
        for environment in project.attributes.get("environment") or ()
        for each in environment.get("environment_variable") or ()
    }
    return told.get("ZAVE_BUCKET")


def _schedule_of(document: Mapping[str, Any]) -> Schedule:
    return Schedule(
        instance=document["instance"],
        first_fire_at=datetime.fromisoformat(document["first_fire_at"]),
        bundle=document["bundle"],
        bundle_sha256=document["bundle_sha256"],
        every=document["every"],
        enabled=document["enabled"],
        # worlds of earlier releases do not have them
        programs=document.get("programs", ""),
        programs_sha256=document.get("programs_sha256", ""),
    )


def _document(schedule: Schedule, before: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "instance": schedule.instance,
        "first_fire_at": schedule.first_fire_at.astimezone(UTC).isoformat(),
        "bundle": schedule.bundle,
        "bundle_sha256": schedule.bundle_sha256,
        "programs": schedule.programs,
        "programs_sha256": schedule.programs_sha256,
        "every": schedule.every,
        "enabled": schedule.enabled,
        # virtual Unix time up to which every fire has been seen to, and how many failed in a row
        "fired_until": before["fired_until"] if before else 0.0,
        "failures": before["failures"] if before else 0,
    }


def _due(document: Mapping[str, Any], *, now: float) -> float:
    """The first moment after `fired_until` at which a schedule fires; the last one that was missed."""
    first = datetime.fromisoformat(document["first_fire_at"]).timestamp()
    every = document["every"] * 60.0
    fired_until: float = document["fired_until"]
    passed = 0 if fired_until < first else int((fired_until - first) // every) + 1
    next_one = first + passed * every
    missed = int((now - next_one) // every)
    due: float = next_one + max(missed, 0) * every
    return due


def _mark_fired(ledger: Ledger, instance: str, until: float) -> None:
    document = ledger.document(_KIND, instance)
    if document is not None:
        ledger.put_document(_KIND, instance, {**document, "fired_until": max(until, document["fired_until"])})


def _count(ledger: Ledger, instance: str, *, failed: bool, reason: str) -> None:
    document = ledger.document(_KIND, instance)
    failures = 1 + (document["failures"] if document else 0) if failed else 0
    if document is not None:
        ledger.put_document(_KIND, instance, {**document, "failures": failures})
    if failures >= _PATIENCE:
        ledger.log("alarm", _TOPIC, instance, detail=f"failed {failures} times in a row: {reason}")
        count = (ledger.document("alarm", instance) or {}).get("count", 0) + 1
        ledger.put_document("alarm", instance, {"count": count, "failures": failures, "at": ledger.now})
