"""Arming the switch: proven first, then set; and what was proven before stays until then."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from zave.aws.bundle import Packed
from zave.aws.keys import PROGRAMS_PREFIX, bundle_key, bundle_prefix, check_key
from zave.aws.sweep import belongs, read_baseline
from zave.aws.switch import (
    EVERY,
    SOONEST,
    WARN,
    announce,
    require_machinery,
    require_same,
    unproven,
    whole_second,
)
from zave.clock import Clock, rfc3339
from zave.errors import PreconditionError, StepFailedError
from zave.ports import PENDING
from zave.ports.cloud import Cloud, DestroyerRun, Schedule

CHECK_LIMIT = 15 * 60.0
"""Seconds of the world's time that a run in check mode may take, queueing included (assumed)."""

_CHECK_POLL = 5.0

# from the upload of programs to the schedule that names them it is minutes
_NEW_PROGRAMS = timedelta(days=1)


@dataclass(frozen=True)
class Term:
    """How long an instance is to live, and when people are told of its end.

    `ttl`: seconds from the arming. `warn`: seconds before the expiry, of which `email` hears. `recorded` is
    the expiry that is on record of this life, and `latest` the longest that the spec lets it live: they
    count when an instance that stands has lost its schedule.
    """

    ttl: float
    warn: Sequence[int] = WARN
    recorded: datetime | None = None
    latest: datetime | None = None
    email: str | None = None


@dataclass(frozen=True)
class Armed:
    """A switch that was proven.

    `kept` tells that it was set before and its expiry was kept; `restored`, that an instance stood without
    one, and its life goes on where it was.
    """

    schedule: Schedule
    proof: DestroyerRun
    kept: bool
    restored: bool = False

    @property
    def expires_at(self) -> datetime:
        """When the destroyer fires first."""
        return self.schedule.first_fire_at


def arm(cloud: Cloud, clock: Clock, *, instance: str, term: Term, bundle: Packed) -> Armed:
    """Prove the instance's switch, then set its schedule.

    A switch that was set before keeps its expiry, and stays as it is until what replaces it is proven. The
    proof is one run of the destroyer in check mode, and the schedule read back. Raises PreconditionError
    when anything about it is not as it should be: then nothing billable may be made, and what failed its
    proof is not set. Only where an instance stands without any schedule one is set first, and stays: an
    unproven end is better than none.
    """
    require_machinery(cloud)
    board = cloud.switchboard
    before = board.schedule(instance)
    _refuse_expired(before, now=clock.now())
    lost = before is None and _stands(cloud, instance)
    expiry = _expiry(term, now=clock.now(), lost=lost) if before is None else before.first_fire_at
    wanted = _wanted(instance, bundle, first_fire_at=expiry)
    cloud.bucket.put(wanted.bundle, bundle.content)
    if lost:
        board.set_schedule(wanted)
    proof = _checked(cloud, clock, wanted)
    doubt = _doubt(cloud, proof, wanted, bundle)
    if doubt is not None:
        raise unproven(doubt[0], f"{doubt[1]}\n{_stays(wanted, before, lost=lost)}")
    if not lost:
        # the whole of it each time: what is not sent would be reset
        wanted = _as_it_is_by_now(cloud, clock, wanted, term, fresh=before is None)
        board.set_schedule(wanted)
    _require_set(cloud, wanted, keep=lost or before is not None)
    announce(cloud, wanted, term.warn)
    if term.email is not None:
        # no part of the proof: who could not be subscribed is told by `status`, and the switch fires
        with suppress(StepFailedError):
            board.subscribe(term.email)
    _forget_older_bundles(cloud, wanted)
    _forget_older_programs(cloud, clock)
    return Armed(wanted, proof, kept=before is not None, restored=lost)


def _wanted(instance: str, bundle: Packed, *, first_fire_at: datetime) -> Schedule:
    return Schedule(
        instance=instance,
        first_fire_at=first_fire_at,
        bundle=bundle_key(instance, bundle.sha256),
        bundle_sha256=bundle.sha256,
        every=EVERY,
        programs=bundle.programs.key if bundle.programs else "",
        programs_sha256=bundle.programs.sha256 if bundle.programs else "",
    )


def _expiry(term: Term, *, now: datetime, lost: bool) -> datetime:
    """The end of a life that begins; of one whose schedule was `lost`, as it goes on where it was."""
    ends = now + timedelta(seconds=term.ttl)
    if lost:
        ends = term.recorded or ends
        ends = ends if term.latest is None else min(ends, term.latest)
        ends = max(ends, now + timedelta(seconds=SOONEST))
    return whole_second(ends)


def _stands(cloud: Cloud, instance: str) -> bool:
    baseline = read_baseline(cloud.bucket, instance)
    items = cloud.inventory.items()
    return any(belongs(each, instance, baseline=baseline) and each.state != PENDING for each in items)


def _refuse_expired(schedule: Schedule | None, *, now: datetime) -> None:
    if schedule is not None and schedule.first_fire_at <= now:
        instance = schedule.instance
        raise PreconditionError(
            f"{instance} is past its TTL since {rfc3339(schedule.first_fire_at)}",
            resolution=f"zave down {instance} takes it down; zave extend {instance} --ttl gives it more time",
        )


def _as_it_is_by_now(cloud: Cloud, clock: Clock, wanted: Schedule, term: Term, *, fresh: bool) -> Schedule:
    """`wanted` with the expiry of this moment: the proof took minutes, and an `extend` may have come."""
    found = cloud.switchboard.schedule(wanted.instance)
    if found is not None:
        wanted = replace(wanted, first_fire_at=found.first_fire_at)
    elif fresh:
        wanted = replace(wanted, first_fire_at=_expiry(term, now=clock.now(), lost=False))
    _refuse_expired(wanted, now=clock.now())
    return wanted


def _require_set(cloud: Cloud, wanted: Schedule, *, keep: bool) -> None:
    """Read back what was set. One that is not as it was set is removed again, unless it is to be kept."""
    found = cloud.switchboard.schedule(wanted.instance)
    if found != wanted and not keep:
        # there is nothing yet that it could end: it would only fail every half hour
        cloud.switchboard.remove_schedule(wanted.instance)
    require_same(found, wanted)


def _stays(wanted: Schedule, before: Schedule | None, *, lost: bool) -> str:
    """What of a switch there is after a proof that failed."""
    if lost:
        fires = rfc3339(wanted.first_fire_at)
        return (
            f"{wanted.instance} stands and had no schedule: this one was set and stays, it fires at {fires}"
        )
    if before is None:
        return "no schedule was set"
    return f"the switch that was set before stays as it was: it fires at {rfc3339(before.first_fire_at)}"


def _checked(cloud: Cloud, clock: Clock, wanted: Schedule) -> DestroyerRun:
    """A run of the destroyer in check mode, with what `wanted` would tell it; ended, or too long at it."""
    run = cloud.switchboard.start(wanted.instance, mode="check", candidate=wanted)
    deadline = clock.now() + timedelta(seconds=CHECK_LIMIT)
    while run.state == "running" and clock.now() < deadline:
        clock.sleep(_CHECK_POLL)
        run = cloud.switchboard.run(run.id)
    return run


def _doubt(cloud: Cloud, run: DestroyerRun, wanted: Schedule, bundle: Packed) -> tuple[str, str] | None:
    """Why that run proves nothing, with details; None when it proves the switch."""
    if run.state != "succeeded":
        state = "did not end in time" if run.state == "running" else "failed"
        return f"its check {state}", run.reason or f"run {run.id}"
    if run.instance != wanted.instance or run.mode != "check":
        return "its check was one of another instance", f"run {run.id} of {run.instance}"
    # the run's own word, from the bucket: a run that ended well may have checked something else
    key = check_key(run.instance, run.id)
    content = cloud.bucket.get(key)
    if content is None:
        return "its check left no finding", key
    try:
        finding = json.loads(content)
        found = (finding["instance"], finding["run"], finding["manifest_sha256"])
    except (ValueError, KeyError, TypeError) as error:
        return "the finding of its check cannot be read", f"{key}: {error}"
    if found != (run.instance, run.id, bundle.manifest_sha256):
        return "its check was one of another bundle", f"{key}: {found}"
    return None


def _forget_older_bundles(cloud: Cloud, schedule: Schedule) -> None:
    # only now: a schedule never points at an archive that is gone
    for stored in cloud.bucket.list(bundle_prefix(schedule.instance)):
        if stored.key != schedule.bundle:
            cloud.bucket.delete(stored.key)


def _forget_older_programs(cloud: Cloud, clock: Clock) -> None:
    stored = cloud.bucket.list(PROGRAMS_PREFIX)
    if len(stored) < 2:
        return
    named = {schedule.programs for schedule in cloud.switchboard.schedules()}
    for each in stored:
        # new ones may be those of a demo whose switch is being armed at this moment
        if each.key not in named and clock.now() - each.modified_at > _NEW_PROGRAMS:
            cloud.bucket.delete(each.key)
