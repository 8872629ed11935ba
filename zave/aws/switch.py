"""The dead-man's switch as it stands, read back and moved: the expiry lives in the cloud's schedule alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal

from zave.aws.keys import bundle_key, programs_key
from zave.aws.locks import RunLock, Worker
from zave.clock import Clock, rfc3339
from zave.errors import LockedError, PreconditionError, StepFailedError, UsageError
from zave.ports.cloud import Cloud, Machinery, Schedule
from zave.spec.units import HOUR, MINUTE, format_duration

EVERY = 30
"""Minutes between two fires after the expiry."""

WARN = (6 * HOUR, HOUR)
"""Seconds before the expiry at which a warning begins, unless the spec says otherwise."""

SOONEST = 5 * MINUTE
"""Seconds from now until the earliest expiry that may be set.

A StartDate more than five minutes in the past is an error on AWS (aws.md, section 4): that leaves some room.
"""

# a warning nearer than this may be on its way already
_NEAR = timedelta(minutes=10)
# who takes an instance away: what is left of it must not live on
_ENDING = {"destroyer": "the destroyer", "down": "a teardown"}

WarningKind = Literal[
    "expires-soon",
    "expired",
    "unconfirmed",
    "unsubscribed",
    "machinery",
    "altered",
    "disarmed",
    "silent",
    "unread",
    "undelivered",
]


MENDED: frozenset[WarningKind] = frozenset({"altered", "disarmed", "silent", "unsubscribed"})
"""Warnings of what arming the switch once more puts right."""


@dataclass(frozen=True)
class SwitchWarning:
    """Something that people should know of a switch; `seconds_left` belongs to `expires-soon`."""

    kind: WarningKind
    text: str
    seconds_left: float | None = None


@dataclass(frozen=True)
class SwitchStatus:
    """The switch as it was read back from the cloud. `source` names where."""

    armed: bool
    source: str
    expires_at: datetime | None
    next_fire_at: datetime | None
    warnings: tuple[SwitchWarning, ...]


def read_back(
    cloud: Cloud, clock: Clock, *, instance: str, warn: Sequence[int] = WARN, email: str | None = None
) -> SwitchStatus:
    """The switch as the cloud has it now; `warn` are seconds before the expiry, `email` hears of it."""
    schedule = cloud.switchboard.schedule(instance)
    warnings = list(_machinery_warnings(cloud, instance, email))
    if schedule is None:
        warnings.append(SwitchWarning("disarmed", f"{instance} has no switch: nothing would end it"))
        return SwitchStatus(False, cloud.inventory.source, None, None, tuple(warnings))
    now = clock.now()
    warnings += [SwitchWarning("altered", text) for text in _altered(cloud, schedule)]
    warnings += _silences(cloud, schedule, warn, now=now)
    left = (schedule.first_fire_at - now).total_seconds()
    if left <= 0:
        text = f"{instance} is past its TTL since {rfc3339(schedule.first_fire_at)}"
        warnings.append(SwitchWarning("expired", text))
    else:
        near = [ahead for ahead in warn if left <= ahead]
        if near:
            text = f"{instance} is destroyed in less than {format_duration(min(near))}"
            warnings.append(SwitchWarning("expires-soon", text, seconds_left=left))
    armed = schedule.enabled and not any(w.kind in ("machinery", "altered") for w in warnings)
    return SwitchStatus(
        armed, cloud.inventory.source, schedule.first_fire_at, next_fire(schedule, now), tuple(warnings)
    )


def next_fire(schedule: Schedule, now: datetime) -> datetime | None:
    """When the schedule fires next after `now`; None while it is switched off."""
    if not schedule.enabled:
        return None
    if now < schedule.first_fire_at:
        return schedule.first_fire_at
    period = timedelta(minutes=schedule.every)
    return schedule.first_fire_at + ((now - schedule.first_fire_at) // period + 1) * period


@dataclass(frozen=True)
class Fires:
    """What the destroyer came to: `failed` runs one after the other, the first of them `failing_since`.

    `last` is how the newest run stands, None before the first; `reason` why the newest failed one failed.
    """

    failed: int = 0
    failing_since: datetime | None = None
    last: Literal["running", "succeeded", "failed"] | None = None
    reason: str = ""


def fires_since(cloud: Cloud, instance: str, *, since: datetime) -> Fires:
    """What the destroyer's runs from `since` on came to. Raises StepFailedError where they are not told."""
    runs = [r for r in cloud.switchboard.runs(instance) if r.mode == "destroy" and r.started_at >= since]
    ended = [run for run in runs if run.state != "running"]
    failed = list(takewhile(lambda run: run.state == "failed", ended))
    if not failed:
        return Fires(last=runs[0].state if runs else None)
    return Fires(len(failed), failed[-1].started_at, runs[0].state, failed[0].reason)


@dataclass(frozen=True)
class Extension:
    """Where an expiry is to be moved, and what bounds it.

    `until` is the new expiry; `armed_at` and `maximum` (seconds) give the longest life that the spec
    allows, which `force` passes over. `warn`: seconds before the new expiry at which people are told.
    """

    until: datetime
    armed_at: datetime
    maximum: float
    force: bool = False
    warn: Sequence[int] = WARN


def later(schedule: Schedule, clock: Clock, *, ttl: float) -> datetime:
    """The expiry `ttl` seconds from now. Raises UsageError when that is sooner than it is now."""
    # as the schedule keeps it, or the same command twice within a second would be refused
    until = whole_second(clock.now() + timedelta(seconds=ttl))
    if until < schedule.first_fire_at:
        raise UsageError(
            f"{schedule.instance} lives until {rfc3339(schedule.first_fire_at)}, which is later than that",
            resolution=f"--ttl counts from now; `--until {rfc3339(until)}` shortens its life",
        )
    return until


def require_schedule(cloud: Cloud, instance: str) -> Schedule:
    """The instance's schedule. Raises PreconditionError when it has none."""
    schedule = cloud.switchboard.schedule(instance)
    if schedule is None:
        raise PreconditionError(
            f"{instance} has no switch in {cloud.region}",
            resolution=f"zave status {instance} tells how it stands; zave up {instance} arms it again",
        )
    return schedule


def extend(cloud: Cloud, clock: Clock, *, instance: str, extension: Extension, worker: Worker) -> Schedule:
    """Move the expiry in the cloud; the caller's record comes after. Returns the schedule as read back.

    Raises UsageError for a moment that is past or beyond the maximum, LockedError when the destroyer
    is at work already, PreconditionError when the cloud did not take it.
    """
    before = require_schedule(cloud, instance)
    until = whole_second(extension.until)
    after = replace(before, first_fire_at=until, every=EVERY, enabled=True, flaws=())
    _require_sensible(after, extension, now=clock.now())
    lock = RunLock(
        cloud.bucket, clock, instance=instance, worker=worker, dead=lambda h: run_ended(cloud, h.id)
    )
    _refuse_destroyer(lock, before)
    cloud.switchboard.set_schedule(after)
    try:
        # the destroyer takes the lock, then reads the schedule: one of the two sees the other
        _refuse_destroyer(lock, before)
    except LockedError:
        # half an instance is left: its schedule must go on firing
        cloud.switchboard.set_schedule(still_to_come(before, clock.now()))
        raise
    require_same(cloud.switchboard.schedule(instance), after)
    announce(cloud, after, extension.warn)
    return after


def still_to_come(schedule: Schedule, now: datetime) -> Schedule:
    """`schedule` as the cloud takes it: a start that is past is refused, so it is now."""
    return replace(schedule, first_fire_at=max(schedule.first_fire_at, now.replace(microsecond=0)))


def run_ended(cloud: Cloud, run_id: str) -> bool:
    """Whether the cloud knows that run of the destroyer, and that it is over."""
    try:
        return cloud.switchboard.run(run_id).state != "running"
    except StepFailedError:
        return False


def switch_document(
    status: SwitchStatus, *, instance: str, rehearsal: bool, previous: datetime | None = None
) -> dict[str, Any]:
    """The `zave/switch/v1` document; `previous` is the expiry before an extension."""
    return {
        "schema": "zave/switch/v1",
        "instance": instance,
        "rehearsal": rehearsal,
        "armed": status.armed,
        "source": status.source,
        "expires_at": None if status.expires_at is None else rfc3339(status.expires_at),
        "previous_expires_at": None if previous is None else rfc3339(previous),
        "next_fire_at": None if status.next_fire_at is None else rfc3339(status.next_fire_at),
        "warnings": [
            {"kind": w.kind, "text": w.text, "seconds_left": w.seconds_left} for w in status.warnings
        ],
    }


def require_machinery(cloud: Cloud) -> None:
    """Raise PreconditionError while a part is missing or altered without which no fire does its work."""
    missing = cloud.switchboard.machinery().missing
    if missing:
        raise PreconditionError(
            "the switch's standing parts are missing or altered in this account",
            details="\n".join(missing),
            resolution="zave account setup makes them",
        )


def _machinery_warnings(cloud: Cloud, instance: str, email: str | None) -> Sequence[SwitchWarning]:
    machinery = cloud.switchboard.machinery()
    warnings = [
        SwitchWarning("machinery", f"missing or altered: {part} (zave account setup)")
        for part in machinery.missing
    ]
    warnings += _unheard(machinery, instance, email)
    warnings += [
        SwitchWarning("unread", f"could not be looked at with these credentials: {part}")
        for part in machinery.unread
    ]
    if machinery.undelivered:
        text = (
            f"{machinery.undelivered} fires or mails of schedules could not be delivered: "
            "look into the dead-letter queue (docs/runbooks/switch-in-the-console.md), then empty it"
        )
        warnings.append(SwitchWarning("undelivered", text))
    return warnings


def _unheard(machinery: Machinery, instance: str, email: str | None) -> Iterator[SwitchWarning]:
    """Whether the instance's own address hears of it, not only somebody's; without one, whether anybody's."""
    if email is not None and "topic for alarms" not in machinery.missing:
        confirmed = machinery.subscribers.get(email.lower())
        if confirmed is None:
            text = f"{email} hears nothing of {instance}: zave up {instance} subscribes it to the alarms"
            yield SwitchWarning("unsubscribed", text)
            return
    else:
        confirmed = machinery.subscription_confirmed
    if not confirmed:
        # SNS says nothing to an address that never confirmed
        text = f"{email or 'the e-mail address'} for alarms is not confirmed: open the link that AWS sent"
        yield SwitchWarning("unconfirmed", text)


def announce(cloud: Cloud, schedule: Schedule, warn: Sequence[int]) -> None:
    """Have people told before the expiry; the switch works whether anybody reads mail or not."""
    instance, end = schedule.instance, rfc3339(schedule.first_fire_at)
    text = (
        f"{instance} is destroyed at {end}, by its switch in {cloud.region}.\n\n"
        f"More time: zave extend {instance} --ttl 24h\nRight now: zave down {instance}\n"
    )
    cloud.switchboard.warn(instance, moments=_moments(schedule, warn), text=text)


def _altered(cloud: Cloud, schedule: Schedule) -> Iterator[str]:
    """What keeps the schedule from being, or from doing, what was proven."""
    instance, flaws = schedule.instance, list(schedule.flaws)
    if not schedule.enabled:
        yield f"the schedule of {instance} is switched off"
    if schedule.every not in (0, EVERY):
        flaws = [flaw for flaw in flaws if flaw != "its rate"]
        flaws.append(f"its rate, every {schedule.every} minutes instead of {EVERY}")
    named = [("bundle", schedule.bundle, bundle_key(instance, schedule.bundle_sha256))]
    if schedule.programs or schedule.programs_sha256:
        named.append(("programs", schedule.programs, programs_key(schedule.programs_sha256)))
    # a key says which digest the archive has: a build that expects another one ends at once
    flaws += [f"its {what}, which is not the one of its digest" for what, key, own in named if key != own]
    if flaws:
        yield f"the schedule of {instance} is not as zave set it: {', '.join(flaws)}"
    for what, key, _ in named:
        # listed, not read: programs are hundreds of megabytes
        if not any(stored.key == key for stored in cloud.bucket.list(key)):
            yield f"missing in the bucket: {what} of {instance}, {key}"


def _moments(schedule: Schedule, warn: Sequence[int]) -> list[datetime]:
    return sorted(schedule.first_fire_at - timedelta(seconds=ahead) for ahead in warn)


def _silences(
    cloud: Cloud, schedule: Schedule, warn: Sequence[int], *, now: datetime
) -> Sequence[SwitchWarning]:
    """Warnings that should come and will not: the switch fires all the same."""
    wanted = [moment for moment in _moments(schedule, warn) if moment > now + _NEAR]
    if not wanted:
        return ()
    set_ = cloud.switchboard.warnings(schedule.instance)
    return [
        SwitchWarning(
            "silent",
            f"no mail will announce the end of {schedule.instance} at {rfc3339(moment)}: "
            f"zave up {schedule.instance} sets it again",
        )
        for moment in wanted
        if moment not in set_
    ]


def require_same(found: Schedule | None, wanted: Schedule) -> None:
    """Raise PreconditionError when the cloud does not have what was set."""
    if found != wanted:
        raise unproven("the cloud shows another schedule than was set", f"set: {wanted}\nfound: {found}")


def unproven(what: str, details: str) -> PreconditionError:
    """The error for a switch that cannot be relied on."""
    return PreconditionError(
        f"the switch is not proven: {what}; nothing was created",
        details=details,
        resolution="zave account status tells what is wrong; then run the same command again",
    )


def _require_sensible(after: Schedule, extension: Extension, *, now: datetime) -> None:
    ahead = (after.first_fire_at - now).total_seconds()
    if ahead < SOONEST:
        raise UsageError(
            f"{rfc3339(after.first_fire_at)} is past or less than {format_duration(SOONEST)} ahead",
            resolution=f"zave down {after.instance} takes it down now",
        )
    last = extension.armed_at + timedelta(seconds=extension.maximum)
    if after.first_fire_at > last and not extension.force:
        raise UsageError(
            f"{after.instance} may live until {rfc3339(last)}: the spec's ttl.maximum is "
            f"{format_duration(int(extension.maximum))}",
            resolution="choose an earlier moment, or repeat with --force",
        )


def _refuse_destroyer(lock: RunLock, schedule: Schedule) -> None:
    holding = lock.holder()
    if holding is not None and holding.work in _ENDING and lock.alive(holding):
        raise LockedError(
            f"{_ENDING[holding.work]} is at work on {schedule.instance}: it is too late to extend",
            details=holding.describe(),
            resolution=f"zave status {schedule.instance} shows what is left",
        )


def whole_second(moment: datetime) -> datetime:
    """`moment`, rounded up: EventBridge Scheduler keeps whole seconds, and no TTL may be cut short."""
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment
