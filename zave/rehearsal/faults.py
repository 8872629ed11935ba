"""The faults of a world: kept in it, and each used up by exactly one call of whatever process."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.errors import UsageError
from zave.rehearsal.database import Database
from zave.rehearsal.fault_grammar import GRAMMAR, parse_fault
from zave.rehearsal.fault_text import VERBS, Fault, Verb

__all__ = ["GRAMMAR", "ActiveFault", "Disturbance", "Fault", "Faults", "load_faults", "parse_fault"]

_LARGEST_FILE = 64 * 1024


@dataclass(frozen=True)
class ActiveFault:
    """A fault in the world.

    `remaining` is how often it still strikes (None: for ever), `skip` how many matching calls pass
    before it does.
    """

    id: int
    fault: Fault
    remaining: int | None
    skip: int


@dataclass(frozen=True)
class Disturbance:
    """What strikes one call: `factor` on its duration, `fault` when more than that happens."""

    factor: float = 1.0
    fault: Fault | None = None

    def struck(self, verb: Verb) -> Fault | None:
        """The fault, when it is one of this verb."""
        return self.fault if self.fault is not None and self.fault.verb == verb else None


class Faults:
    """The faults of a world; several processes draw on them at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, fault: Fault | str) -> int:
        """Put a fault into the world, and return its id. Raises UsageError for a line it cannot read."""
        fault = parse_fault(fault) if isinstance(fault, str) else fault
        with self._database.write() as connection:
            cursor = connection.execute(
                "INSERT INTO faults (text, remaining, skip) VALUES (?, ?, ?)",
                (str(fault), fault.count, fault.after),
            )
            return cursor.lastrowid or 0

    def list(self) -> Sequence[ActiveFault]:
        """What can still strike, in the order of arrival."""
        return [_active(row) for row in self._database.rows("SELECT * FROM faults ORDER BY id")]

    def remove(self, fault_id: int) -> bool:
        """Take one fault out; whether it was there."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM faults WHERE id = ?", (fault_id,)).rowcount > 0

    def clear(self) -> int:
        """Take all faults out; how many there were."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM faults").rowcount

    def take(
        self, action: str, type_: str, name: str, *, resource: str = "", verbs: Sequence[Verb] = VERBS
    ) -> Disturbance:
        """What strikes this call. A fault that is used up is gone, for every other process as well.

        All slow faults that match count together; of the others the oldest one strikes. `resource` is
        what may run short (the pool of a volume, `spot`); only faults of `verbs` are asked.
        """
        # nearly every call of nearly every run: no fault at all, and then no write either
        if self._database.row("SELECT 1 FROM faults") is None:
            return Disturbance()
        factor, striking = 1.0, None
        with self._database.write() as connection:
            for row in connection.execute("SELECT * FROM faults ORDER BY id").fetchall():
                active = _active(row)
                slow = active.fault.verb == "slow"
                subject = resource if active.fault.verb in ("fill", "no") else name
                if (striking and not slow) or active.fault.verb not in verbs:
                    continue
                if not active.fault.hits(action, type_, subject):
                    continue
                if not _use_up(connection, active):
                    continue
                if slow:
                    factor *= active.fault.factor
                else:
                    striking = active.fault
        return Disturbance(factor=factor, fault=striking)


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Read a file of faults, one a line; `#` begins a comment line.

    Raises UsageError with file and line.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError("the file of faults is larger than 64 KiB", where=str(path))
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot read the file of faults", details=str(error), where=str(path)) from error
    faults = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            faults.append(parse_fault(line.strip()))
        except UsageError as error:
            where = f"{path}:{number}"
            raise UsageError(
                error.brief, details=error.details, where=where, resolution=error.resolution
            ) from error
    return tuple(faults)


def _active(row: sqlite3.Row) -> ActiveFault:
    return ActiveFault(
        id=row["id"], fault=parse_fault(row["text"]), remaining=row["remaining"], skip=row["skip"]
    )


def _use_up(connection: sqlite3.Connection, active: ActiveFault) -> bool:
    """Count one matching call against a fault; whether it strikes."""
    if active.skip:
        connection.execute("UPDATE faults SET skip = skip - 1 WHERE id = ?", (active.id,))
        return False
    if active.remaining == 1:
        connection.execute("DELETE FROM faults WHERE id = ?", (active.id,))
    elif active.remaining is not None:
        connection.execute("UPDATE faults SET remaining = remaining - 1 WHERE id = ?", (active.id,))
    return True
