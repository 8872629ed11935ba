"""The simulated world: what exists on the rehearsed platforms, kept where every process can see it.

The provider plugins make, change and delete things here; the sweep, the meter and the status read
the same file without asking Terraform.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from zave.rehearsal.clock import CancelledError, VirtualClock, microseconds
from zave.rehearsal.database import Database
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.faults import Disturbance, Faults
from zave.rehearsal.operations import Operation, Operations
from zave.rehearsal.things import Draft, Thing, WorldError, WorldEvent, event_of, noun, thing_of, twin_error

__all__ = ["Draft", "Thing", "World", "WorldError", "WorldEvent"]

CRASH_EXIT = 77
_INJECTED = "an injected fault of this rehearsal"


def _die() -> NoReturn:
    # as a crash is: no clean-up, no last message to Terraform
    os._exit(CRASH_EXIT)


class World:
    """The world in one SQLite file. Safe for many threads and many processes at once."""

    def __init__(self, database: Database, *, on_crash: Callable[[], object]) -> None:
        self._database = database
        self._operations = Operations(database)
        self._on_crash = on_crash
        self.clock = VirtualClock(database, self._operations)
        self.faults = Faults(database)

    @classmethod
    def open(cls, path: Path, *, on_crash: Callable[[], object] = _die) -> "World":
        """Open the world at `path`, making it when absent (file 0600, its folder 0700).

        `on_crash` is what `crash provider` does. Raises StateError for a file that is no world.
        """
        return cls(Database(path, now=microseconds(time.time())), on_crash=on_crash)

    def close(self) -> None:
        """Close the file; the world goes on."""
        self._database.close()

    # the provider's side

    def create(self, draft: Draft) -> Thing:
        """Make a thing and wait until it is ready. Raises WorldError.

        The thing exists before the wait, as on a real platform: whoever is killed meanwhile leaves it.
        """
        pool = str(draft.attributes.get("pool", ""))
        disturbed = self._disturb("create", draft.type, draft.name, pool=pool)
        if disturbed.struck("fill"):
            raise WorldError(
                f"not enough free space in pool '{pool}'", f"storage volume '{draft.name}' was not created"
            )
        seconds = 0.0 if draft.local else draft.seconds
        if seconds is None:
            seconds = seconds_for(draft.type, "create", draft.name)
        key = f"{draft.type}-{os.urandom(8).hex()}"
        with self._database.write() as connection:
            self._refuse_twin(connection, draft)
            took = seconds * disturbed.factor
            operation = self._begin(connection, "create", key, took, disturbed)
            now = self.clock.timestamp()
            connection.execute(
                "INSERT INTO things (key, provider, type, name, identity, attributes, created_at, ready_at,"
                " local) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    draft.provider,
                    draft.type,
                    draft.name,
                    draft.unique,
                    json.dumps(draft.attributes),
                    now,
                    operation.finishes_at if operation else now + took,
                    draft.local,
                ),
            )
            self._log(connection, "create", draft.type, draft.name, key=key)
        self._endure("create", draft.type, draft.name, disturbed, operation)
        made = self._find(key)
        if made is None:
            raise WorldError(f"{noun(draft.type)} '{draft.name}' vanished while it was being made")
        return made

    def read(self, key: str) -> Thing | None:
        """The thing as it is now, or None when it no longer exists. Raises WorldError for a fault."""
        thing = self._find(key)
        if thing is not None:
            disturbed = self._disturb("read", thing.type, thing.name)
            self._endure("read", thing.type, thing.name, disturbed, None)
        return thing

    def update(self, key: str, attributes: Mapping[str, Any], *, seconds: float | None = None) -> Thing:
        """Replace a thing's attributes once the time that this takes is over. Raises WorldError."""
        thing = self._find(key)
        if thing is None:
            raise WorldError("the object to change no longer exists", f"the world knows nothing as {key}")
        self._spend(thing, "update", seconds)
        with self._database.write() as connection:
            body = json.dumps(dict(attributes))
            connection.execute("UPDATE things SET attributes = ? WHERE key = ?", (body, key))
            self._log(connection, "update", thing.type, thing.name, key=key)
        return replace(thing, attributes=dict(attributes))

    def delete(self, key: str, *, seconds: float | None = None) -> None:
        """Delete a thing, which is gone at the end of the wait. Gone already is fine. Raises WorldError.

        Whoever is killed meanwhile leaves the thing standing, as with libvirt, where the client does
        the steps of a deletion.
        """
        thing = self._find(key)
        if thing is None:
            return
        disturbed = self._spend(thing, "delete", seconds)
        if not disturbed.struck("leak"):
            self._drop(thing, "delete")
            return
        with self._database.write() as connection:
            connection.execute("UPDATE things SET left_behind = 1 WHERE key = ?", (key,))
            self._log(connection, "leak", thing.type, thing.name, key=key, detail="reported as deleted")

    def lookup(self, type: str, attribute: str, value: object) -> Thing | None:  # noqa: A002
        """The oldest thing of a type with this value of an attribute: for imports and data sources."""
        for thing in self.things():
            found = thing.attributes.get(attribute, thing.name if attribute == "name" else None)
            if thing.type == type and found is not None and str(found) == str(value):
                return thing
        return None

    def cancel(self) -> None:
        """End every wait of this process with WorldError: what a provider does when told to stop."""
        self.clock.cancel()

    # the second reader's side

    def things(self, *, provider: str | None = None) -> Sequence[Thing]:
        """Everything that exists, the oldest first."""
        now, deleting = self.clock.timestamp(), self._operations.deleting()
        rows = self._database.rows("SELECT * FROM things ORDER BY seq")
        return [
            thing_of(row, now=now, deleting=deleting) for row in rows if provider in (None, row["provider"])
        ]

    def remove(self, key: str) -> None:
        """Delete a thing at once, without Terraform. Gone already is fine.

        Raises WorldError when a fault has the platform refuse.
        """
        thing = self._find(key)
        if thing is None:
            return
        disturbed = self.faults.take("delete", thing.type, thing.name, verbs=("refuse",))
        self._tell_and_refuse(disturbed, "delete", thing.type, thing.name)
        self._drop(thing, "remove")

    def lose(self, type: str, name: str) -> bool:  # noqa: A002
        """Let a thing vanish behind everybody's back; whether there was one."""
        thing = self._named(type, name)
        if thing is not None:
            self._drop(thing, "lose")
        return thing is not None

    def stop(self, type: str, name: str) -> bool:  # noqa: A002
        """Switch a machine off behind everybody's back; whether there was one."""
        thing = self._named(type, name)
        if thing is None:
            return False
        with self._database.write() as connection:
            body = json.dumps({**thing.attributes, "running": False})
            connection.execute("UPDATE things SET attributes = ? WHERE key = ?", (body, thing.key))
            self._log(connection, "stop", type, name, key=thing.key)
        return True

    def counter(self, name: str) -> int:
        """The next number of a sequence, from 1 on; no two callers get the same."""
        with self._database.write() as connection:
            row = connection.execute(
                "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET value = value + 1"
                " RETURNING value",
                (name,),
            ).fetchone()
        return int(row["value"])

    def get_document(self, kind: str, name: str) -> dict[str, Any] | None:
        """One of the documents in which images, clusters and the host are kept."""
        row = self._database.row("SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name))
        if row is None:
            return None
        body: dict[str, Any] = json.loads(row["body"])
        return body

    def put_document(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document, instead of the one of that kind and name."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, name, json.dumps(dict(document)))
            )

    def delete_document(self, kind: str, name: str) -> bool:
        """Forget a document; whether there was one."""
        with self._database.write() as connection:
            cursor = connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            return cursor.rowcount > 0

    def documents(self, kind: str) -> dict[str, dict[str, Any]]:
        """All documents of a kind by name."""
        rows = self._database.rows("SELECT name, body FROM documents WHERE kind = ? ORDER BY name", (kind,))
        return {row["name"]: json.loads(row["body"]) for row in rows}

    def log(self, *, since: int = 0) -> Sequence[WorldEvent]:
        """What happened after the event number `since`, the oldest first."""
        rows = self._database.rows("SELECT * FROM log WHERE seq > ? ORDER BY seq", (since,))
        return [event_of(row) for row in rows]

    def note(self, verb: str, type_: str, name: str, *, detail: str = "") -> None:
        """Add a line to the log."""
        with self._database.write() as connection:
            self._log(connection, verb, type_, name, detail=detail)

    def reset(self) -> None:
        """Empty everything: things, faults, documents, counters, log; the clock starts at real now."""
        self._database.empty(now=microseconds(time.time()))

    # within

    def _disturb(self, action: str, type_: str, name: str, *, pool: str = "") -> Disturbance:
        disturbed = self.faults.take(action, type_, name, pool=pool)
        self._tell_and_refuse(disturbed, action, type_, name)
        return disturbed

    def _tell_and_refuse(self, disturbed: Disturbance, action: str, type_: str, name: str) -> None:
        if disturbed.fault is None:
            return
        self.note("fault", type_, name, detail=str(disturbed.fault))
        if failing := disturbed.struck("fail"):
            raise WorldError(failing.message or f"cannot {action} {noun(type_)} '{name}'", _INJECTED)
        if refusing := disturbed.struck("refuse"):
            raise WorldError(refusing.message or f"{noun(type_)} '{name}' must not be deleted", _INJECTED)

    def _spend(self, thing: Thing, action: str, seconds: float | None) -> Disturbance:
        """Let the time of a change of `thing` pass, and return what else struck it."""
        disturbed = self._disturb(action, thing.type, thing.name)
        if seconds is None:
            seconds = seconds_for(thing.type, action, thing.name)
        took = 0.0 if thing.local else seconds * disturbed.factor
        with self._database.write() as connection:
            operation = self._begin(connection, action, thing.key, took, disturbed)
        self._endure(action, thing.type, thing.name, disturbed, operation)
        return disturbed

    def _begin(
        self, connection: sqlite3.Connection, action: str, key: str, took: float, disturbed: Disturbance
    ) -> Operation | None:
        # what hangs or crashes never ends, and must not hold up everybody else's clock
        if took <= 0 or disturbed.struck("hang") or disturbed.struck("crash"):
            return None
        return self.clock.begin(connection, took, action=action, thing=key)

    def _endure(
        self, action: str, type_: str, name: str, disturbed: Disturbance, operation: Operation | None
    ) -> None:
        """Crash, hang or wait, whichever struck."""
        if disturbed.struck("crash"):
            self._on_crash()
        try:
            if hanging := disturbed.struck("hang"):
                self.clock.hang(hanging.seconds)
                raise WorldError(f"timeout while waiting to {action} {noun(type_)} '{name}'", _INJECTED)
            if operation is not None:
                self.clock.wait(operation)
        except CancelledError as error:
            raise WorldError(f"cancelled: {action} {noun(type_)} '{name}'") from error

    def _refuse_twin(self, connection: sqlite3.Connection, draft: Draft) -> None:
        if draft.unique is None:
            return
        row = connection.execute(
            "SELECT attributes FROM things WHERE type = ? AND identity = ?", (draft.type, draft.unique)
        ).fetchone()
        if row is not None:
            raise twin_error(draft, json.loads(row["attributes"]).get("uuid"))

    def _drop(self, thing: Thing, verb: str) -> None:
        with self._database.write() as connection:
            connection.execute("DELETE FROM things WHERE key = ?", (thing.key,))
            self._log(connection, verb, thing.type, thing.name, key=thing.key)

    def _find(self, key: str) -> Thing | None:
        row = self._database.row("SELECT * FROM things WHERE key = ?", (key,))
        if row is None:
            return None
        return thing_of(row, now=self.clock.timestamp(), deleting=self._operations.deleting())

    def _named(self, type_: str, name: str) -> Thing | None:
        matching = (thing for thing in self.things() if (thing.type, thing.name) == (type_, name))
        return next(matching, None)

    def _log(
        self,
        connection: sqlite3.Connection,
        verb: str,
        type_: str,
        name: str,
        *,
        key: str = "",
        detail: str = "",
    ) -> None:
        connection.execute(
            "INSERT INTO log (virtual_at, real_at, verb, type, name, key, detail, pid)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self.clock.timestamp(), time.time(), verb, type_, name, key, detail, os.getpid()),
        )
