"""The switch in EventBridge Scheduler: one schedule an instance, in zave's group."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from zave.aws.live.api import Api, RefusedError
from zave.aws.live.builds import Builds, environment
from zave.aws.live.machinery import read_machinery, told_bucket
from zave.aws.live.parts import Parts
from zave.clock import Clock
from zave.errors import StepFailedError
from zave.ports.cloud import DestroyerRun, Machinery, Mode, Schedule
from zave.spec.names import check_name
from zave.text import clean

_ABSENT = "ResourceNotFoundException"
# a StartDate further back than this is refused (EventBridge Scheduler user guide, schedule types)
_PAST = timedelta(minutes=5)
_RATE = re.compile(r"rate\((\d{1,6}) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
# delivery alone is tried again, and only until the next fire, which does the same
_RETRIES = {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 1800}
_EXACTLY = {"Mode": "OFF"}
# no instance's name has a dot
_WARNING = ".warn-"
_STAMP = "%Y%m%dT%H%M%SZ"
# an SNS subject: printable ASCII, 100 characters (API reference, Publish)
_SUBJECT = "zave: {} ends soon"


class SchedulerSwitchboard:
    """Implements `zave.ports.cloud.Switchboard` over EventBridge Scheduler and CodeBuild.

    AWS takes much without a word that never fires; so what is sent is checked here against `clock`.
    """

    def __init__(self, api: Api, *, parts: Parts, clock: Clock) -> None:
        self._api = api
        self._parts = parts
        self._clock = clock
        self._builds = Builds(api, project=parts.project)

    def machinery(self) -> Machinery:
        """Read the standing parts back."""
        return read_machinery(self._api, self._parts)

    def works_from(self) -> str | None:
        """The name of the bucket that the destroyer's project reads; None where there is no project."""
        return told_bucket(self._api, self._parts)

    # schedules

    def schedule(self, instance: str) -> Schedule | None:
        """The instance's schedule as the cloud has it now."""
        try:
            found = self._api.call("scheduler", "get_schedule", **self._named(instance))
        except RefusedError as error:
            if error.code == _ABSENT:
                return None
            raise
        return schedule_of(found, parts=self._parts)

    def schedules(self) -> Sequence[Schedule]:
        """All schedules of zave's group."""
        names: list[str] = []
        try:
            for page in self._api.pages("scheduler", "list_schedules", GroupName=self._parts.group):
                names += [each["Name"] for each in page["Schedules"]]
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
        # a list shows neither dates nor inputs; one that went meanwhile is left out
        found = [self.schedule(name) for name in sorted(names) if _WARNING not in name]
        return [schedule for schedule in found if schedule is not None]

    def set_schedule(self, schedule: Schedule) -> None:
        """Create or replace. Raises StepFailedError for what AWS refuses, or should."""
        self._require_sensible(schedule)
        self._put(document(schedule, parts=self._parts))

    def _put(self, wanted: Mapping[str, Any]) -> None:
        try:
            # whatever an update leaves out falls back to its default: everything is sent
            self._api.call("scheduler", "update_schedule", **wanted)
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
            self._create(wanted)

    def remove_schedule(self, instance: str) -> None:
        """Remove, its warnings too; absent is fine."""
        # first: cut off in between, the switch still fires and comes here again
        with suppress(RefusedError):
            # a mail too many does no harm, a switch that stays would fire for ever
            for name in self._warnings(instance):
                self._remove(name)
        self._remove(instance)

    # warnings: schedules of their own, which fire once and are gone

    def warn(self, instance: str, *, moments: Sequence[datetime], text: str) -> None:
        """Have the topic told `text` at these moments and at no others; past ones are left out."""
        check_name(instance, what="instance")
        now = self._clock.now()
        wanted = {_warning_name(instance, moment): moment for moment in moments if moment > now}
        for name in self._warnings(instance):
            if name not in wanted:
                self._remove(name)
        for name, moment in sorted(wanted.items()):
            self._put(warning_document(name, moment, instance=instance, text=text, parts=self._parts))

    def warnings(self, instance: str) -> Sequence[datetime]:
        """The moments still to come at which the topic is told, in order."""
        now = self._clock.now()
        moments = (_warning_moment(name) for name in self._warnings(instance))
        # one that has fired may still be listed for a while
        return sorted(moment for moment in moments if moment is not None and moment > now)

    def _warnings(self, instance: str) -> list[str]:
        prefix, names = f"{instance}{_WARNING}", list[str]()
        try:
            for page in self._api.pages(
                "scheduler", "list_schedules", GroupName=self._parts.group, NamePrefix=prefix
            ):
                names += [each["Name"] for each in page["Schedules"]]
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
        return sorted(name for name in names if name.startswith(prefix))

    def _remove(self, name: str) -> None:
        try:
            self._api.call("scheduler", "delete_schedule", **self._named(name))
        except RefusedError as error:
            if error.code != _ABSENT:
                raise

    # runs

    def start(self, instance: str, *, mode: Mode, candidate: Schedule | None = None) -> DestroyerRun:
        """Start the destroyer now, as a fire of the schedule would, or of one that is not set yet."""
        schedule = candidate or self.schedule(instance)
        if schedule is None:
            raise StepFailedError(
                f"{instance} has no schedule, so there is nothing that the destroyer could run",
                details="ResourceNotFoundException: Schedule does not exist.",
                resolution=f"zave up {instance} arms it",
            )
        return self._builds.start(schedule, mode=mode)

    def run(self, run_id: str) -> DestroyerRun:
        """The run's present state. Raises StepFailedError for one that is not known."""
        return self._builds.found(run_id)

    def runs(self, instance: str) -> Sequence[DestroyerRun]:
        """The instance's runs, newest first."""
        return self._builds.all(instance)

    def _named(self, instance: str) -> dict[str, str]:
        return {"GroupName": self._parts.group, "Name": instance}

    def _create(self, wanted: Mapping[str, Any]) -> None:
        self._require_group()
        try:
            self._api.call("scheduler", "create_schedule", **wanted)
        except RefusedError as error:
            if error.code != "ConflictException":
                raise
            # made by somebody else between the two calls
            self._api.call("scheduler", "update_schedule", **wanted)

    def _require_group(self) -> None:
        try:
            self._api.call("scheduler", "get_schedule_group", Name=self._parts.group)
        except RefusedError as error:
            if error.code != _ABSENT:
                raise
            raise StepFailedError(
                "the schedule group of the switch is missing in this account",
                details=error.details,
                resolution="zave account setup makes it",
            ) from error

    def _require_sensible(self, schedule: Schedule) -> None:
        check_name(schedule.instance, what="instance")
        if schedule.first_fire_at < self._clock.now() - _PAST:
            raise StepFailedError(
                f"the schedule of {schedule.instance} would begin in the past",
                details="The StartDate cannot be earlier than 5 minutes ago.",
                resolution="give a time to come",
            )
        if schedule.every < 1:
            raise StepFailedError(f"the schedule of {schedule.instance} fires every {schedule.every} minutes")


def document(schedule: Schedule, *, parts: Parts) -> dict[str, Any]:
    """All parameters of CreateSchedule and UpdateSchedule."""
    variables = environment(schedule, mode="destroy")
    start = {
        "ProjectName": parts.project,
        "EnvironmentVariablesOverride": [
            {"Name": name, "Type": "PLAINTEXT", "Value": value} for name, value in variables.items()
        ],
    }
    unit = "minute" if schedule.every == 1 else "minutes"
    return {
        "Name": schedule.instance,
        "Description": f"ends {schedule.instance}: set by zave, removed once nothing of it is left",
        "ScheduleExpression": f"rate({schedule.every} {unit})",
        # without it a rate begins at once; without an end it goes on until the destroyer removes it
        "StartDate": schedule.first_fire_at,
        "State": "ENABLED" if schedule.enabled else "DISABLED",
        "ActionAfterCompletion": "NONE",
        **_common(parts.start_build_arn, start, parts=parts),
    }


def warning_document(
    name: str, moment: datetime, *, instance: str, text: str, parts: Parts
) -> dict[str, Any]:
    """All parameters of CreateSchedule and UpdateSchedule for one warning."""
    message = {"TopicArn": parts.topic_arn, "Subject": _SUBJECT.format(instance), "Message": text}
    return {
        "Name": name,
        "Description": f"tells that {instance} ends soon: set by zave",
        "ScheduleExpression": f"at({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S})",
        "State": "ENABLED",
        # it has no second occasion; what a lost mail would have said, `status` says as well
        "ActionAfterCompletion": "DELETE",
        **_common(parts.publish_arn, message, parts=parts),
    }


def _common(target: str, given: Mapping[str, Any], *, parts: Parts) -> dict[str, Any]:
    """The parameters that every schedule of zave's has: its group, its time, who calls `target` with what."""
    return {
        "GroupName": parts.group,
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": _EXACTLY,
        "Target": {
            "Arn": target,
            "RoleArn": parts.scheduler_role_arn,
            "Input": json.dumps(given, sort_keys=True),
            "DeadLetterConfig": {"Arn": parts.queue_arn},
            "RetryPolicy": _RETRIES,
        },
    }


def _warning_name(instance: str, moment: datetime) -> str:
    """The moment is in the name: a list of schedules shows no dates."""
    return f"{instance}{_WARNING}{moment.astimezone(UTC):{_STAMP}}"


def _warning_moment(name: str) -> datetime | None:
    try:
        return datetime.strptime(name.rpartition(_WARNING)[2], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None  # somebody else's


def schedule_of(found: Mapping[str, Any], *, parts: Parts) -> Schedule:
    """The schedule in the answer of GetSchedule; `flaws` names all that zave would not have set."""
    target = found.get("Target") or {}
    told = _told(target.get("Input"))
    every = _minutes(str(found.get("ScheduleExpression", "")))
    start = found.get("StartDate")
    flaws = [
        what
        for what, wrong in (
            ("its rate", every is None),
            ("its start", start is None),
            ("an end", found.get("EndDate") is not None),
            ("its window", (found.get("FlexibleTimeWindow") or {}).get("Mode") != "OFF"),
            ("its deletion after a fire", found.get("ActionAfterCompletion") not in (None, "NONE")),
            ("its target", target.get("Arn") != parts.start_build_arn),
            ("its role", target.get("RoleArn") != parts.scheduler_role_arn),
            ("its dead-letter queue", (target.get("DeadLetterConfig") or {}).get("Arn") != parts.queue_arn),
            ("its project", told.get("ProjectName") != parts.project),
            ("its instance", told.get("ZAVE_INSTANCE") != found.get("Name")),
            ("its mode", told.get("ZAVE_MODE") != "destroy"),
        )
        if wrong
    ]
    return Schedule(
        instance=clean(str(found["Name"])),
        # one without a start fires already
        first_fire_at=start.astimezone(UTC) if isinstance(start, datetime) else datetime.now(UTC),
        bundle=clean(told.get("ZAVE_BUNDLE", "")),
        bundle_sha256=clean(told.get("ZAVE_BUNDLE_SHA256", "")),
        every=every or 0,
        enabled=found.get("State") == "ENABLED",
        flaws=tuple(flaws),
        programs=clean(told.get("ZAVE_PROGRAMS", "")),
        programs_sha256=clean(told.get("ZAVE_PROGRAMS_SHA256", "")),
    )


def _told(text: object) -> dict[str, str]:
    """What a schedule's input says, environment variables beside the project; hostile text."""
    try:
        given = json.loads(str(text))
        variables = {str(v["Name"]): str(v["Value"]) for v in given["EnvironmentVariablesOverride"]}
        return {**variables, "ProjectName": str(given["ProjectName"])}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _minutes(expression: str) -> int | None:
    """The minutes of a rate; None for any other expression."""
    match = _RATE.fullmatch(expression.strip())
    return int(match[1]) * _MINUTES[match[2]] if match else None
