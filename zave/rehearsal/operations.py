"""Operations under way in the world, and which of the processes behind them still live."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zave.rehearsal.database import Database

Life = Literal["running", "stopped", "dead"]


@dataclass(frozen=True)
class Process:
    """A process, told from a later one with the same pid by its start time in clock ticks."""

    pid: int
    started: int

    def life(self) -> Life:
        """Whether it still works. A zombie is dead: kill -9 leaves one until its parent looks."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return "dead"
        state, started = _parse(stat)
        if started != self.started or state in "ZX":
            return "dead"
        return "stopped" if state in "Tt" else "running"


def this_process() -> Process:
    """The calling process."""
    return Process(pid=os.getpid(), started=_parse(Path("/proc/self/stat").read_bytes())[1])


def _parse(stat: bytes) -> tuple[str, int]:
    # the second field is the program's name, which may hold spaces and brackets: count from its end
    fields = stat[stat.rindex(b")") + 2 :].split()
    return fields[0].decode("ascii"), int(fields[19])


@dataclass(frozen=True)
class Operation:
    """Something that takes virtual time: it is over at `finishes_at` (virtual Unix time)."""

    id: int
    process: Process
    action: str
    thing: str
    finishes_at: float


class Operations:
    """The table of operations under way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = this_process()

    def register(
        self, connection: sqlite3.Connection, *, action: str, thing: str, finishes_at: float
    ) -> Operation:
        """Note an operation of this process, inside the caller's transaction."""
        cursor = connection.execute(
            "INSERT INTO operations (pid, started, action, thing, finishes_at) VALUES (?, ?, ?, ?, ?)",
            (self._process.pid, self._process.started, action, thing, finishes_at),
        )
        return Operation(cursor.lastrowid or 0, self._process, action, thing, finishes_at)

    def remove(self, connection: sqlite3.Connection, operation: Operation) -> bool:
        """Forget an operation, inside the caller's transaction; whether it was still there."""
        return connection.execute("DELETE FROM operations WHERE id = ?", (operation.id,)).rowcount > 0

    def remove_dead(self, connection: sqlite3.Connection) -> None:
        """Forget what dead processes left, inside the caller's transaction."""
        rows = connection.execute("SELECT * FROM operations WHERE pid != ?", (self._process.pid,))
        for operation in [_operation(row) for row in rows]:
            if operation.process.life() == "dead":
                self.remove(connection, operation)

    def earlier_than(self, operation: Operation) -> Sequence[Operation]:
        """Operations that end before `operation` and whose processes are at work.

        A stopped process must not hold the world's clock any more than a dead one.
        """
        rows = self._database.rows(
            "SELECT * FROM operations WHERE (finishes_at, id) < (?, ?)",
            (operation.finishes_at, operation.id),
        )
        return [each for each in map(_operation, rows) if self._at_work(each)]

    def deleting(self) -> frozenset[str]:
        """Keys of the things that a living process is deleting now."""
        rows = self._database.rows("SELECT * FROM operations WHERE action = 'delete'")
        return frozenset(each.thing for each in map(_operation, rows) if each.process.life() != "dead")

    def _at_work(self, operation: Operation) -> bool:
        return operation.process == self._process or operation.process.life() == "running"


def _operation(row: sqlite3.Row) -> Operation:
    return Operation(
        id=row["id"],
        process=Process(pid=row["pid"], started=row["started"]),
        action=row["action"],
        thing=row["thing"],
        finishes_at=row["finishes_at"],
    )
