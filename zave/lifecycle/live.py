"""What the cloud says of a recorded instance now: its switch, its cost, and whether it is still there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from zave.aws.switch import WARN, fires_since, read_back
from zave.clock import rfc3339
from zave.cost.ledger import cost_of, keep_spans
from zave.errors import StepFailedError
from zave.lifecycle.learn import learn
from zave.ports import Item
from zave.ports.cloud import Cloud
from zave.spec.units import parse_duration
from zave.state.records import STANDING, InstanceRecord
from zave.state.store import StateStore
from zave.steps.site import Tools
from zave.text import clean


@dataclass(frozen=True)
class Live:
    """`record` is brought up to date; `switch` is the part of `zave/status/v1`; warnings for people.

    `cloud` and `items` are what was asked and what it showed: others may stand there as well.
    """

    record: InstanceRecord
    switch: dict[str, Any]
    usd_per_hour: float | None
    usd_spent: float | None
    warnings: tuple[str, ...] = ()
    cloud: Cloud | None = field(default=None, repr=False, compare=False)
    items: Sequence[Item] = field(default=(), repr=False, compare=False)


def look(store: StateStore, tools: Tools, cloud: Cloud, record: InstanceRecord, *, rehearsal: bool) -> Live:
    """Ask the cloud. Raises what its adapters raise when it cannot be reached."""
    record, surprises = learn(store, cloud, record)
    now = tools.clock.now()
    items = cloud.inventory.items() if record.phase in STANDING else ()
    if record.phase in STANDING:
        keep_spans(store, record, items, now=now)
    cost = cost_of(store, record, items, now=now, rehearsal=rehearsal)
    if record.phase not in STANDING:
        switch: dict[str, Any] = {"armed": False, "source": None, "next_fire_at": None}
        return Live(record, switch, 0.0, cost["spent"]["expected"])
    email = record.spec.get("notify", {}).get("email")
    status = read_back(cloud, tools.clock, instance=record.name, warn=_warn(record), email=email)
    if status.expires_at is not None and status.expires_at != record.expires_at:
        # another machine moved it: the switch decides, the record follows
        record = replace(record, expires_at=status.expires_at)
        store.save_instance(record)
    if record.expires_at is not None and record.expires_at <= now and record.phase != "destroying":
        record = replace(record, phase="expired")
    switch = {
        "armed": status.armed,
        "source": status.source,
        "next_fire_at": None if status.next_fire_at is None else rfc3339(status.next_fire_at),
    }
    if status.expires_at is not None and status.expires_at <= now:
        # what fires is no proof of what goes: these are the tries so far
        switch["fires"] = _fires(cloud, record.name, since=status.expires_at)
    warnings = (*surprises, *(warning.text for warning in status.warnings))
    spent = cost["spent"]["expected"]
    hour = cost["usd_per_hour"]["expected"]
    if not hour and cost["unpriced"]:
        # without one rate nothing is known: that is not 0
        return Live(record, switch, None, None, warnings, cloud, items)
    return Live(record, switch, hour, spent, warnings, cloud, items)


def _fires(cloud: Cloud, instance: str, *, since: datetime) -> dict[str, Any] | None:
    """What the destroyer came to since the end; None where that cannot be asked."""
    try:
        fires = fires_since(cloud, instance, since=since)
    except StepFailedError:
        return None
    return {
        "failed": fires.failed,
        "failing_since": None if fires.failing_since is None else rfc3339(fires.failing_since),
        "last": fires.last,
        "reason": clean(fires.reason),
    }


def _warn(record: InstanceRecord) -> Sequence[int]:
    """Seconds before the end at which the spec has people told."""
    told = record.spec.get("ttl", {}).get("warn")
    return WARN if told is None else [parse_duration(each, what="warning") for each in told]
