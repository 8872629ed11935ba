"""Schedules as EventBridge Scheduler keeps them: as zave writes them, and in what a found one differs."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zave.aws.live.builds import environment
from zave.aws.live.parts import Parts
from zave.ports.cloud import Schedule
from zave.text import clean

_RATE = re.compile(r"rate\((\d{1,6}) (minute|hour|day)s?\)")
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
# delivery alone is tried again, and only until the next fire, which does the same
_RETRIES = {"MaximumRetryAttempts": 10, "MaximumEventAgeInSeconds": 1800}
_EXACTLY = {"Mode": "OFF"}
# an SNS subject: printable ASCII, 100 characters (API reference, Publish)
_SUBJECT = "zave: {} ends soon"
_VARIABLES = "EnvironmentVariablesOverride"
_LONGEST_NAME = 40

# what a part of a schedule is called, where its name alone says too little
_TITLES = {
    "ActionAfterCompletion": "its deletion after a fire",
    "EndDate": "an end",
    "FlexibleTimeWindow": "its window",
    "KmsKeyArn": "its key",
    "ScheduleExpression": "its rate",
    "ScheduleExpressionTimezone": "its time zone",
    "StartDate": "its start",
    "Target.Arn": "its target",
    "Target.DeadLetterConfig": "its dead-letter queue",
    "Target.RetryPolicy": "its retries",
    "Target.RoleArn": "its role",
    "Target.Input.": "its input",
    "Target.Input.ProjectName": "its project",
    "Target.Input.ZAVE_INSTANCE": "its instance",
    "Target.Input.ZAVE_MODE": "its mode",
}
# what AWS tells of a schedule beside what it was given, and what makes no difference to a fire
_BESIDE = frozenset(
    {"Arn", "CreationDate", "Description", "GroupName", "LastModificationDate", "Name", "ResponseMetadata"}
)
# read as it is: `Schedule.enabled`
_STATE = "State"


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


def schedule_of(found: Mapping[str, Any], *, parts: Parts) -> Schedule:
    """The schedule in the answer of GetSchedule; `flaws` names all that zave would have written otherwise."""
    told = _told(found.get("Target") or {})
    start = found.get("StartDate")
    schedule = Schedule(
        instance=clean(str(found["Name"])),
        first_fire_at=start.astimezone(UTC) if isinstance(start, datetime) else _without_start(found),
        bundle=clean(told.get("ZAVE_BUNDLE", "")),
        bundle_sha256=clean(told.get("ZAVE_BUNDLE_SHA256", "")),
        every=_minutes(str(found.get("ScheduleExpression", ""))) or 0,
        enabled=found.get("State") == "ENABLED",
        programs=clean(told.get("ZAVE_PROGRAMS", "")),
        programs_sha256=clean(told.get("ZAVE_PROGRAMS_SHA256", "")),
    )
    return replace(schedule, flaws=tuple(_differences(found, document(schedule, parts=parts))))


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """What is not as zave would have written it, each by its name, in order."""
    there, ours = dict(_said(found)), dict(_said(wanted))
    for name in sorted({*there, *ours}):
        if there.get(name) != ours.get(name):
            title = _TITLES.get(name, name.removeprefix("Target.").removeprefix("Input."))
            yield clean(title)[:_LONGEST_NAME]


def _said(schedule: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All that a schedule says, by name; what is left out says nothing, and so does its default."""
    defaults = {"ActionAfterCompletion": "NONE", "ScheduleExpressionTimezone": "UTC"}
    for name, value in {**defaults, **_given(schedule)}.items():
        if name == "Target":
            yield from _said_to_target(value)
        elif name not in _BESIDE and name != _STATE:
            yield name, value


def _said_to_target(target: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in _given(target).items():
        if name == "Input":
            yield from ((f"Target.Input.{each}", text) for each, text in _said_to_build(value))
        else:
            yield f"Target.{name}", value


def _said_to_build(text: object) -> Iterator[tuple[str, Any]]:
    """The parameters of StartBuild; hostile text. Each variable has a name of its own, with its type."""
    try:
        given = dict(json.loads(str(text)))
        variables = [(str(each["Name"]), each) for each in given.pop(_VARIABLES)]
    except (ValueError, KeyError, TypeError, RecursionError):
        yield "", text
        return
    yield from given.items()
    for name, each in variables:
        yield name, (each.get("Value"), {k: v for k, v in each.items() if k not in ("Name", "Value")})
    if len({name for name, _ in variables}) < len(variables):
        # which of two counts is not documented
        yield "a variable twice", True


def _given(some: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in some.items() if value not in (None, {}, "")}


def _told(target: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables that a schedule's input sets; hostile text."""
    try:
        given = json.loads(str(target.get("Input")))
        return {str(each["Name"]): str(each["Value"]) for each in given[_VARIABLES]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}


def _without_start(found: Mapping[str, Any]) -> datetime:
    """When a schedule without a start began: at once, when it was written. Its time is over."""
    moments = (found.get(name) for name in ("LastModificationDate", "CreationDate"))
    known = (moment.astimezone(UTC) for moment in moments if isinstance(moment, datetime))
    return next(known, datetime.fromtimestamp(0, UTC))


def _minutes(expression: str) -> int | None:
    """The minutes of a rate; None for any other expression."""
    match = _RATE.fullmatch(expression.strip())
    return int(match[1]) * _MINUTES[match[2]] if match else None
