"""Between rows of `state.db` and records. Each `SELECT_*` names columns in the order of a record's fields."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zave.clock import from_rfc3339, rfc3339
from zave.state.records import (
    CostRecord,
    InstanceRecord,
    Overview,
    ReceiptRecord,
    ReceiptSummary,
    ResourceRecord,
    RunRecord,
    StepRecord,
    StepSummary,
)

Row = tuple[Any, ...]

SELECT_INSTANCE = (
    "SELECT name, environment, platform, phase, created_at, expires_at, spec, outputs FROM instances"
)
_SELECT_WITHOUT_SPEC = SELECT_INSTANCE.replace(" spec,", " '{}',")
SELECT_RUN = (
    "SELECT id, instance, command, arguments, started_at, finished_at, outcome, exit_code, seconds, "
    "virtual_seconds, error, pid FROM runs"
)
SELECT_STEP = (
    "SELECT instance, step, state, verb, run_id, fingerprint, started_at, finished_at, seconds, "
    "virtual_seconds, outputs, reason FROM steps"
)
SELECT_RECEIPT = (
    "SELECT instance, run_id, at, deleted, accepted, leaks, usd_per_day_leaking, document FROM receipts"
)
SELECT_COST = (
    "SELECT item, unit, quantity, usd_rate, rate_as_of, rate_source, starts_at, ends_at, usd FROM costs"
)


def to_json(value: Any) -> str:
    """JSON that SQLite accepts as well: plain ASCII, no NaN."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> Any:
    """What `to_json` wrote."""
    return json.loads(text)


def plain(text: str) -> str:
    """Text that UTF-8 can hold: tools' output decodes to surrogates where it is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_rfc3339(text)


# instances


def instance(row: Row) -> InstanceRecord:
    """A row of `SELECT_INSTANCE`."""
    name, environment, platform, phase, created_at, expires_at, spec, outputs = row
    return InstanceRecord(
        name=name,
        environment=environment,
        platform=platform,
        phase=phase,
        created_at=from_rfc3339(created_at),
        expires_at=_moment(expires_at),
        spec=from_json(spec),
        outputs=from_json(outputs),
    )


def of_instance(record: InstanceRecord) -> Row:
    """The row of a record."""
    return (
        *(record.name, record.environment, record.platform, record.phase, rfc3339(record.created_at)),
        None if record.expires_at is None else rfc3339(record.expires_at),
        *(to_json(dict(record.spec)), to_json(dict(record.outputs))),
    )


# runs and steps


def run(row: Row) -> RunRecord:
    """A row of `SELECT_RUN`."""
    run_id, of, command, arguments, started_at, finished_at, outcome, exit_code, real, virtual, error, pid = (
        row
    )
    return RunRecord(
        id=run_id,
        instance=of,
        command=command,
        arguments=tuple(from_json(arguments)),
        started_at=from_rfc3339(started_at),
        finished_at=_moment(finished_at),
        outcome=outcome,
        exit_code=exit_code,
        seconds=real,
        virtual_seconds=virtual,
        error=None if error is None else from_json(error),
        pid=pid,
    )


def step(row: Row) -> StepRecord:
    """A row of `SELECT_STEP`."""
    of, name, state, verb, run_id, fingerprint, started_at, finished_at, real, virtual, outputs, reason = row
    return StepRecord(
        instance=of,
        step=name,
        state=state,
        verb=verb,
        run_id=run_id,
        fingerprint=fingerprint,
        started_at=from_rfc3339(started_at),
        finished_at=_moment(finished_at),
        seconds=real,
        virtual_seconds=virtual,
        outputs=from_json(outputs),
        reason=reason,
    )


def note_timing(
    connection: sqlite3.Connection, instance_and_step: tuple[str, str], *, seconds: float, keep: int
) -> None:
    """Note how long a step took on its instance's platform; forget all but the last `keep`."""
    key = connection.execute(
        "SELECT platform, verb, step FROM steps JOIN instances ON instances.name = steps.instance "
        "WHERE instance = ? AND step = ?",
        instance_and_step,
    ).fetchone()
    if key is None:  # no record of the instance: nothing to learn for its platform
        return
    connection.execute(
        "INSERT INTO timings (platform, verb, step, seconds) VALUES (?, ?, ?, ?)", (*key, seconds)
    )
    connection.execute(
        "DELETE FROM timings WHERE platform = ?1 AND verb = ?2 AND step = ?3 AND number NOT IN ("
        "SELECT number FROM timings WHERE platform = ?1 AND verb = ?2 AND step = ?3 "
        "ORDER BY number DESC LIMIT ?4)",
        (*key, keep),
    )


# resources


def of_resource(name: str, run_id: str, record: ResourceRecord) -> Row:
    """The row of a record; its name and id are what a tool said."""
    known = None if record.id is None else plain(record.id)
    return (name, record.address, record.type, plain(record.name), known, record.state, run_id)


# receipts


def receipt(row: Row) -> ReceiptRecord:
    """A row of `SELECT_RECEIPT`."""
    of, run_id, *summary, document = row
    return ReceiptRecord(
        instance=of, run_id=run_id, summary=_receipt_summary(summary), document=from_json(document)
    )


def of_receipt(name: str, run_id: str, document: Mapping[str, Any], *, now: datetime) -> Row:
    """The row of a `zave/receipt/v1` document; `now` where it does not say when it was issued."""
    counts = [len(document.get(key, ())) for key in ("deleted", "accepted", "leaks")]
    leaking = float(document.get("usd_per_day_leaking", 0.0))
    return (name, run_id, document.get("at", rfc3339(now)), *counts, leaking, to_json(dict(document)))


def _receipt_summary(columns: list[Any]) -> ReceiptSummary:
    at, deleted, accepted, leaks, leaking = columns
    return ReceiptSummary(from_rfc3339(at), deleted, accepted, leaks, leaking)


# costs


def cost(row: Row) -> CostRecord:
    """A row of `SELECT_COST`."""
    item, unit, quantity, usd_rate, as_of, source, starts_at, ends_at, usd = row
    return CostRecord(
        item=item,
        unit=unit,
        quantity=quantity,
        usd_rate=usd_rate,
        rate_as_of=as_of,
        rate_source=source,
        starts_at=from_rfc3339(starts_at),
        ends_at=from_rfc3339(ends_at),
        usd=usd,
    )


def of_cost(name: str, run_id: str | None, record: CostRecord) -> Row:
    """The row of a record."""
    rate = (record.usd_rate, record.rate_as_of, record.rate_source)
    times = (rfc3339(record.starts_at), rfc3339(record.ends_at))
    return (name, run_id, record.item, record.unit, record.quantity, *rate, *times, record.usd)


# the overview


def overview(connection: sqlite3.Connection) -> list[Overview]:
    """All instances with what belongs to them, by name; their specs are left out."""
    receipts = {
        of: _receipt_summary(columns)
        for of, *columns in connection.execute(
            "SELECT instance, at, deleted, accepted, leaks, usd_per_day_leaking FROM receipts "
            "WHERE number IN (SELECT max(number) FROM receipts GROUP BY instance)"
        )
    }
    steps: dict[str, list[StepSummary]] = {}
    for of, *columns in connection.execute(
        "SELECT instance, step, state, seconds, reason FROM steps ORDER BY number"
    ):
        steps.setdefault(of, []).append(StepSummary(*columns))
    return [
        Overview(
            record=instance(row),
            steps=tuple(steps.get(row[0], ())),
            last_receipt=receipts.get(row[0]),
        )
        for row in connection.execute(_SELECT_WITHOUT_SPEC + " ORDER BY name")
    ]
