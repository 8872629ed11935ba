"""The world inside one transaction: what is done here happens together or not at all."""

import json
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from zave.rehearsal.things import Draft, Thing, thing_of


class Ledger:
    """Reads and writes of one transaction. `now` is the virtual Unix time at which it happens."""

    def __init__(self, connection: sqlite3.Connection, *, now: float) -> None:
        self.now = now
        self._connection = connection

    def things(self, *types: str) -> Sequence[Thing]:
        """Everything of these types, the oldest first; without types simply everything."""
        where = f" WHERE type IN ({', '.join('?' * len(types))})" if types else ""
        rows = self._connection.execute(f"SELECT * FROM things{where} ORDER BY seq", types)  # noqa: S608 - question marks only
        return [thing_of(row, now=self.now, deleting=()) for row in rows]

    def find(self, key: str) -> Thing | None:
        """One thing."""
        row = self._connection.execute("SELECT * FROM things WHERE key = ?", (key,)).fetchone()
        return None if row is None else thing_of(row, now=self.now, deleting=())

    def twin(self, draft: Draft) -> Mapping[str, Any] | None:
        """The attributes of the thing that has already what must be unique to `draft`."""
        if draft.unique is None:
            return None
        row = self._connection.execute(
            "SELECT attributes FROM things WHERE type = ? AND identity = ?", (draft.type, draft.unique)
        ).fetchone()
        if row is None:
            return None
        attributes: Mapping[str, Any] = json.loads(row["attributes"])
        return attributes

    def make(self, draft: Draft, *, ready_at: float, verb: str = "create") -> str:
        """Put a thing into the world, and return its key."""
        key = f"{draft.type}-{os.urandom(8).hex()}"
        self._connection.execute(
            "INSERT INTO things (key, provider, type, name, identity, attributes, created_at, ready_at,"
            " local) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                draft.provider,
                draft.type,
                draft.name,
                draft.unique,
                json.dumps(draft.attributes),
                self.now,
                ready_at,
                draft.local,
            ),
        )
        self.log(verb, draft.type, draft.name, key=key)
        return key

    def change(self, thing: Thing, attributes: Mapping[str, Any], *, verb: str = "update") -> None:
        """Replace a thing's attributes."""
        body = json.dumps(dict(attributes))
        self._connection.execute("UPDATE things SET attributes = ? WHERE key = ?", (body, thing.key))
        self.log(verb, thing.type, thing.name, key=thing.key)

    def leave(self, thing: Thing, *, detail: str) -> None:
        """Mark a thing whose deletion was reported and never happened."""
        self._connection.execute("UPDATE things SET left_behind = 1 WHERE key = ?", (thing.key,))
        self.log("leak", thing.type, thing.name, key=thing.key, detail=detail)

    def drop(self, thing: Thing, *, verb: str) -> bool:
        """Take a thing out of the world; whether it was still there."""
        cursor = self._connection.execute("DELETE FROM things WHERE key = ?", (thing.key,))
        if cursor.rowcount:
            self.log(verb, thing.type, thing.name, key=thing.key)
        return cursor.rowcount > 0

    def counter(self, name: str) -> int:
        """The next number of a sequence, from 1 on; no two callers get the same."""
        row = self._connection.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value",
            (name,),
        ).fetchone()
        return int(row["value"])

    def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """One document."""
        row = self._connection.execute(
            "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
        ).fetchone()
        if row is None:
            return None
        body: dict[str, Any] = json.loads(row["body"])
        return body

    def put_document(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document, instead of the one of that kind and name."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, name, json.dumps(dict(document)))
        )

    def delete_document(self, kind: str, name: str) -> bool:
        """Forget a document; whether there was one."""
        cursor = self._connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
        return cursor.rowcount > 0

    def log(self, verb: str, type: str, name: str, *, key: str = "", detail: str = "") -> None:  # noqa: A002
        """Add a line to the world's log."""
        self._connection.execute(
            "INSERT INTO log (virtual_at, real_at, verb, type, name, key, detail, pid)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self.now, time.time(), verb, type, name, key, detail, os.getpid()),
        )
