"""What the cloud says of a recorded instance now: its switch, its cost, and whether it is still there."""

from dataclasses import dataclass, replace
from typing import Any

from zave.aws.switch import read_back
from zave.clock import rfc3339
from zave.cost.ledger import cost_of, keep_spans
from zave.lifecycle.learn import learn
from zave.ports.cloud import Cloud
from zave.state.records import STANDING, InstanceRecord
from zave.state.store import StateStore
from zave.steps.site import Tools


@dataclass(frozen=True)
class Live:
    """`record` is brought up to date; `switch` is the part of `zave/status/v1`; warnings for people."""

    record: InstanceRecord
    switch: dict[str, Any]
    usd_per_hour: float | None
    usd_spent: float | None
    warnings: tuple[str, ...] = ()


def look(store: StateStore, tools: Tools, cloud: Cloud, record: InstanceRecord, *, rehearsal: bool) -> Live:
    """Ask the cloud. Raises what its adapters raise when it cannot be reached."""
    record = learn(store, cloud, record)
    now = tools.clock.now()
    items = cloud.inventory.items() if record.phase in STANDING else ()
    if record.phase in STANDING:
        keep_spans(store, record, items, now=now)
    cost = cost_of(store, record, items, now=now, rehearsal=rehearsal)
    if record.phase not in STANDING:
        switch: dict[str, Any] = {"armed": False, "source": None, "next_fire_at": None}
        return Live(record, switch, 0.0, cost["spent"]["expected"])
    status = read_back(cloud, tools.clock, instance=record.name)
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
    warnings = tuple(warning.text for warning in status.warnings)
    return Live(record, switch, cost["usd_per_hour"]["expected"], cost["spent"]["expected"], warnings)
