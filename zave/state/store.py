"""`StateStore`: the record of instances, runs, steps, resources, facts and receipts.

Every `begin_*` and `intend_*` is on the disk before it returns: what may exist is recorded before
anything makes it. Secrets do not belong here. All methods may be called from any thread, and all
raise StateError when the record cannot be read or written.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from zave.clock import Clock, SystemClock, from_rfc3339, rfc3339
from zave.errors import StateError
from zave.state import rows
from zave.state.database import Database
from zave.state.directory import StateDirectory
from zave.state.records import (
    CostRecord,
    InstanceRecord,
    Overview,
    ReceiptRecord,
    ResourceRecord,
    RunOutcome,
    RunRecord,
    StepEnd,
    StepRecord,
    StepState,
    StepVerb,
)
from zave.state.recovery import Opening
from zave.state.run_id import next_run_id

# a median of more would follow a new machine too slowly
_TIMINGS_KEPT = 10


class StateStore:
    """The record in `state.db`. `notices` tells people of repairs made while opening."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.notices = database.notices

    @classmethod
    def open(cls, directory: StateDirectory, *, clock: Clock) -> Self:
        """Open, check and, where needed, restore or migrate. Raises StateError.

        `clock` is the world's: it dates the records.
        """
        return cls(Database(directory), clock=clock)

    @staticmethod
    def start_empty(directory: StateDirectory) -> Path | None:
        """Begin an empty record where the old one is lost; where what was left of it is kept, if anything.

        Raises UsageError while there is a usable record or a good backup.
        """
        return Opening(directory, clock=SystemClock()).start_empty()

    @property
    def prices(self) -> Path:
        """Where refreshed prices are kept, if anybody ever refreshed them."""
        return self._database.directory.prices

    def close(self) -> None:
        """Close the database; a second call does nothing."""
        self._database.close()

    def backup(self) -> Path:
        """Write a verified copy into `backups/`, keep the newest ten; returns its path."""
        return self._database.backup()

    # instances

    def instances(self) -> list[InstanceRecord]:
        """All instances by name."""
        query = rows.SELECT_INSTANCE + " ORDER BY name"
        return [rows.instance(row) for row in self._database.read(query)]

    def instance(self, name: str) -> InstanceRecord | None:
        """The record of one instance."""
        query = rows.SELECT_INSTANCE + " WHERE name = ?"
        found = self._database.read(query, (name,))
        return rows.instance(found[0]) if found else None

    def save_instance(self, record: InstanceRecord) -> None:
        """Write the whole record, new or not."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO instances (name, environment, platform, phase, created_at, "
                "expires_at, spec, outputs) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows.of_instance(record),
            )

    def overview(self) -> list[Overview]:
        """What `status` shows of every instance, in four queries however many there are."""
        with self._database.reading() as connection:
            return rows.overview(connection)

    # runs

    def begin_run(self, *, instance: str, command: str, arguments: Sequence[str]) -> RunRecord:
        """Record that this process starts a run. `arguments` must carry no secret."""
        now = self._clock.now()
        with self._database.writing() as connection:
            (last,) = connection.execute("SELECT max(id) FROM runs").fetchone()
            begun = RunRecord(
                id=next_run_id(now, last=last),
                instance=instance,
                command=rows.plain(command),
                arguments=tuple(arguments),
                started_at=from_rfc3339(rfc3339(now)),  # as it will be read again: milliseconds
                pid=os.getpid(),
            )
            connection.execute(
                "INSERT INTO runs (id, instance, command, arguments, started_at, pid) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (begun.id, instance, begun.command, rows.to_json(list(arguments)), rfc3339(now), begun.pid),
            )
        return begun

    def finish_run(
        self,
        run_id: str,
        *,
        outcome: RunOutcome,
        exit_code: int,
        seconds: float,
        virtual_seconds: float,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Record how a run ended; also for one that a kill cut off. `error`: `to_document()`."""
        document = None if error is None else rows.to_json(error)
        with self._database.writing() as connection:
            ended = (rfc3339(self._clock.now()), outcome, int(exit_code), seconds, virtual_seconds, document)
            changed = connection.execute(
                "UPDATE runs SET finished_at = ?, outcome = ?, exit_code = ?, seconds = ?, "
                "virtual_seconds = ?, error = ? WHERE id = ?",
                (*ended, run_id),
            )
            _must_exist(changed.rowcount, f"run {run_id}")

    def runs(self, instance: str | None = None, limit: int | None = None) -> list[RunRecord]:
        """Runs, newest first: of one instance or of all."""
        query = rows.SELECT_RUN + " WHERE ?1 IS NULL OR instance = ?1 ORDER BY id DESC LIMIT ?2"
        found = self._database.read(query, (instance, -1 if limit is None else limit))
        return [rows.run(row) for row in found]

    def unfinished_runs(self, instance: str) -> list[RunRecord]:
        """Runs of the instance whose end was never recorded, newest first.

        To whoever holds the instance's lock they are runs that were killed.
        """
        query = rows.SELECT_RUN + " WHERE instance = ? AND finished_at IS NULL ORDER BY id DESC"
        return [rows.run(row) for row in self._database.read(query, (instance,))]

    # steps

    def steps(self, instance: str) -> dict[str, StepRecord]:
        """The steps of an instance by name, in the order in which they first began."""
        query = rows.SELECT_STEP + " WHERE instance = ? ORDER BY number"
        records = (rows.step(row) for row in self._database.read(query, (instance,)))
        return {record.step: record for record in records}

    def begin_step(
        self, instance: str, step: str, *, run_id: str, fingerprint: str | None, verb: StepVerb
    ) -> None:
        """Record that a step is about to be done or undone, before anything happens.

        A fingerprint of None and the outputs of the last finish leave what was recorded.
        """
        state: StepState = "running" if verb == "do" else "undoing"
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO steps (instance, step, state, verb, run_id, fingerprint, started_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (instance, step) DO UPDATE SET "
                "state = excluded.state, verb = excluded.verb, run_id = excluded.run_id, "
                "fingerprint = coalesce(excluded.fingerprint, fingerprint), "
                "started_at = excluded.started_at, finished_at = NULL, seconds = NULL, "
                "virtual_seconds = NULL, reason = ''",
                (instance, step, state, verb, run_id, fingerprint, rfc3339(self._clock.now())),
            )

    def finish_step(self, instance: str, step: str, end: StepEnd) -> None:
        """Record how a step ended. Raises StateError for one that never began."""
        outputs = None if end.outputs is None else rows.to_json(end.outputs)
        with self._database.writing() as connection:
            now = rfc3339(self._clock.now())
            ended = (end.state, now, end.seconds, end.virtual_seconds, outputs, rows.plain(end.reason))
            changed = connection.execute(
                "UPDATE steps SET state = ?, finished_at = ?, seconds = ?, virtual_seconds = ?, "
                "outputs = coalesce(?, outputs), reason = ? WHERE instance = ? AND step = ?",
                (*ended, instance, step),
            )
            _must_exist(changed.rowcount, f"step {step} of {instance}")
            if end.state in ("done", "undone"):
                rows.note_timing(connection, (instance, step), seconds=end.seconds, keep=_TIMINGS_KEPT)

    def typical_step_seconds(self, platform: str, *, verb: StepVerb = "do") -> dict[str, float]:
        """For each step the median of its last ten successes on a platform, in real seconds."""
        query = "SELECT step, seconds FROM timings WHERE platform = ? AND verb = ? ORDER BY step, seconds"
        times: dict[str, list[float]] = {}
        for step, seconds in self._database.read(query, (platform, verb)):
            times.setdefault(step, []).append(seconds)
        # they come sorted; the module statistics takes longer to import than the query
        return {
            step: (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
            for step, ordered in times.items()
        }

    # resources

    def intend_resources(self, instance: str, resources: Sequence[ResourceRecord], run_id: str) -> None:
        """Record resources before they are made, changed or deleted. An id once known stays."""
        with self._database.writing() as connection:
            connection.executemany(
                "INSERT INTO resources (instance, address, type, name, id, state, run_id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (instance, address) DO UPDATE SET "
                "type = excluded.type, name = excluded.name, id = coalesce(excluded.id, id), "
                "state = excluded.state, run_id = excluded.run_id",
                [rows.of_resource(instance, run_id, resource) for resource in resources],
            )

    def mark_resources(self, instance: str, resources: Sequence[ResourceRecord]) -> None:
        """Record what became of intended resources, all or none: state and name. An id once known stays.

        Raises StateError when one of them was never intended.
        """
        with self._database.writing() as connection:
            for resource in resources:
                known = None if resource.id is None else rows.plain(resource.id)
                changed = connection.execute(
                    "UPDATE resources SET state = ?, name = ?, id = coalesce(?, id) "
                    "WHERE instance = ? AND address = ?",
                    (resource.state, rows.plain(resource.name), known, instance, resource.address),
                )
                _must_exist(changed.rowcount, f"resource {resource.address} of {instance}")

    def resources(self, instance: str) -> list[ResourceRecord]:
        """All resources ever intended, those that are gone included, by address."""
        query = "SELECT address, type, name, id, state FROM resources WHERE instance = ? ORDER BY address"
        return [ResourceRecord(*row) for row in self._database.read(query, (instance,))]

    # facts

    def fact(self, instance: str, key: str) -> Any | None:
        """A JSON value kept under `key`; None when there is none."""
        query = "SELECT value FROM facts WHERE instance = ? AND key = ?"
        found = self._database.read(query, (instance, key))
        return rows.from_json(found[0][0]) if found else None

    def put_fact(self, instance: str, key: str, value: Any) -> None:
        """Keep a JSON value. Raises TypeError or ValueError for what JSON cannot hold."""
        text = rows.to_json(value)
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (instance, key, text))

    def delete_fact(self, instance: str, key: str) -> None:
        """Forget a fact; one that is not there is fine."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM facts WHERE instance = ? AND key = ?", (instance, key))

    # receipts

    def add_receipt(self, instance: str, document: Mapping[str, Any], run_id: str) -> None:
        """Keep a `zave/receipt/v1` document."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO receipts (instance, run_id, at, deleted, accepted, leaks, "
                "usd_per_day_leaking, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows.of_receipt(instance, run_id, document, now=self._clock.now()),
            )

    def last_receipt(self, instance: str) -> ReceiptRecord | None:
        """The newest receipt of an instance."""
        return next(iter(self._receipts(instance, limit=1)), None)

    def receipts(self, instance: str | None = None) -> list[ReceiptRecord]:
        """Receipts, newest first: of one instance or of all."""
        return self._receipts(instance, limit=-1)

    def _receipts(self, instance: str | None, *, limit: int) -> list[ReceiptRecord]:
        query = rows.SELECT_RECEIPT + " WHERE ?1 IS NULL OR instance = ?1 ORDER BY number DESC LIMIT ?2"
        return [rows.receipt(row) for row in self._database.read(query, (instance, limit))]

    # costs

    def record_costs(
        self, instance: str, costs: Sequence[CostRecord], *, since: datetime, run_id: str | None = None
    ) -> None:
        """Keep the charges of a life that began `since`; a repetition replaces what was kept of it."""
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM costs WHERE instance = ? AND ends_at > ?", (instance, rfc3339(since))
            )
            connection.executemany(
                "INSERT INTO costs (instance, run_id, item, unit, quantity, usd_rate, rate_as_of, "
                "rate_source, starts_at, ends_at, usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [rows.of_cost(instance, run_id, record) for record in costs],
            )

    def costs(self, instance: str) -> list[CostRecord]:
        """The charges kept for an instance, all its lives together, in the order of their beginning."""
        query = rows.SELECT_COST + " WHERE instance = ? ORDER BY starts_at, number"
        return [rows.cost(row) for row in self._database.read(query, (instance,))]


def _must_exist(changed: int, what: str) -> None:
    """Raise StateError when an update met nothing: it would be lost silently."""
    if changed == 0:
        raise StateError(
            f"{what} is not in the record",
            resolution="this is a mistake in zave: it must be recorded before it is changed",
        )
