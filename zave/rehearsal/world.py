"""The simulated world: what exists on the rehearsed platforms, kept where every process can see it.

The provider plugins make, change and delete things here; the sweep, the meter and the status read
the same file without asking Terraform.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from zave.rehearsal.calls import Calls
from zave.rehearsal.clock import CancelledError, VirtualClock, microseconds
from zave.rehearsal.database import Database
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.effects import Block, effects_of
from zave.rehearsal.faults import Disturbance, Faults
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.operations import Operations
from zave.rehearsal.refusals import no_spot_capacity
from zave.rehearsal.things import Draft, Thing, WorldError, WorldEvent, event_of, noun, thing_of, twin_error
from zave.rehearsal.viewpoint import Viewpoint

__all__ = ["Draft", "Thing", "World", "WorldError", "WorldEvent"]

CRASH_EXIT = 77
# virtual seconds between two looks at what stands in the way of a deletion (assumed)
_RETRY = 15.0


def _die() -> NoReturn:
    # as a crash is: no clean-up, no last message to Terraform
    os._exit(CRASH_EXIT)


class World:
    """The world in one SQLite file. Safe for many threads and many processes at once."""

    def __init__(self, database: Database, *, on_crash: Callable[[], object], viewpoint: Viewpoint) -> None:
        self._database = database
        self._operations = Operations(database)
        self.viewpoint = viewpoint
        self.clock = VirtualClock(database, self._operations, skew=viewpoint.skew)
        self.faults = Faults(database)
        self._calls = Calls(database, self.clock, self.faults, viewpoint=viewpoint, on_crash=on_crash)

    @classmethod
    def open(
        cls, path: Path, *, on_crash: Callable[[], object] = _die, viewpoint: Viewpoint | None = None
    ) -> "World":
        """Open the world at `path`, making it when absent (file 0600, its folder 0700).

        `on_crash` is what `crash provider` does, `viewpoint` who looks (None: the environment says).
        Raises StateError for a file that is no world.
        """
        database = Database(path, now=microseconds(time.time()))
        return cls(database, on_crash=on_crash, viewpoint=viewpoint or Viewpoint.of(os.environ))

    @property
    def path(self) -> Path:
        """The world's file."""
        return self._database.path

    @property
    def folder(self) -> Path:
        """Where the world's file is, and what else belongs to the world."""
        return self._database.path.parent

    def close(self) -> None:
        """Close the file; the world goes on."""
        self._database.close()

    # the provider's side

    def create(self, draft: Draft) -> Thing:
        """Make a thing and wait until it is ready. Raises WorldError.

        The thing exists before the wait, as on a real platform: whoever is killed meanwhile leaves it,
        and what the platform makes along with it.
        """
        effects = effects_of(draft.provider)
        pool = str(draft.attributes.get("pool") or "")
        disturbed = self._calls.disturb(
            "create", draft.type, draft.name, resource=effects.wanted(draft) if effects else pool
        )
        if disturbed.struck("fill"):
            raise WorldError(
                f"not enough free space in pool '{pool}'", f"storage volume '{draft.name}' was not created"
            )
        seconds = 0.0 if draft.local else draft.seconds
        if seconds is None:
            seconds = seconds_for(draft.type, "create", draft.name)
        with self._ledger() as (connection, ledger):
            twin = ledger.twin(draft)
            if twin is not None:
                raise twin_error(draft, twin.get("uuid"))
            took = seconds * disturbed.factor
            operation = self._calls.begin(connection, "create", took, disturbed)
            key = ledger.make(draft, ready_at=operation.finishes_at if operation else ledger.now + took)
            made = ledger.find(key)
            if effects is not None and made is not None and not disturbed.struck("no"):
                effects.made(ledger, made)
        self._calls.endure("create", draft.type, draft.name, disturbed, operation)
        if disturbed.struck("no"):
            raise no_spot_capacity(draft.name)
        made = self._find(key)
        if made is None:
            raise WorldError(f"{noun(draft.type)} '{draft.name}' vanished while it was being made")
        self._forget_lock(disturbed, made)
        return made

    def read(self, key: str) -> Thing | None:
        """The thing as it is now, or None when it no longer exists. Raises WorldError for a fault."""
        thing = self._find(key)
        if thing is None or thing.pending:
            return None
        disturbed = self._calls.disturb("read", thing.type, thing.name)
        self._calls.endure("read", thing.type, thing.name, disturbed, None)
        return thing

    def update(self, key: str, attributes: Mapping[str, Any], *, seconds: float | None = None) -> Thing:
        """Replace a thing's attributes once the time that this takes is over. Raises WorldError."""
        thing = self._find(key)
        if thing is None:
            raise WorldError("the object to change no longer exists", f"the world knows nothing as {key}")
        disturbed = self._spend(thing, "update", seconds)
        changed = replace(thing, attributes=dict(attributes))
        effects = effects_of(thing.provider)
        with self._ledger() as (_, ledger):
            ledger.change(thing, attributes)
            if effects is not None:
                effects.changed(ledger, changed)
        self._forget_lock(disturbed, changed)
        return changed

    def delete(self, key: str, *, seconds: float | None = None) -> None:
        """Delete a thing, which is gone at the end of the wait. Gone already is fine. Raises WorldError.

        Whoever is killed meanwhile leaves the thing standing, as with libvirt, where the client does
        the steps of a deletion. What stands in the way of it is waited for as long as the real
        provider waits.
        """
        thing = self._find(key)
        if thing is None or thing.pending:
            return
        disturbed = self._calls.disturb("delete", thing.type, thing.name)
        self._wait_until_free(thing)
        self._pass_time(thing, "delete", seconds, disturbed)
        if disturbed.struck("leak"):
            with self._ledger() as (_, ledger):
                ledger.leave(thing, detail="reported as deleted")
            return
        self._drop(thing, "delete", left=self._leavings(thing))
        self._forget_lock(disturbed, thing)

    def lookup(self, type: str, attribute: str, value: object) -> Thing | None:  # noqa: A002
        """The oldest thing of a type with this value of an attribute: for imports and data sources."""
        for thing in self._things("type = ?", type):
            found = thing.attributes.get(attribute, thing.name if attribute == "name" else None)
            if not thing.pending and found is not None and str(found) == str(value):
                return thing
        return None

    def twin(self, type: str, unique: str) -> Thing | None:  # noqa: A002
        """The thing of a type that has already what the platform keeps unique."""
        return next(iter(self._things("type = ? AND identity = ?", type, unique)), None)

    def _things(self, where: str, *values: str) -> Sequence[Thing]:
        now, deleting = self.clock.timestamp(), self._operations.deleting()
        rows = self._database.rows(f"SELECT * FROM things WHERE {where} ORDER BY seq", values)  # noqa: S608 - ours
        return [thing_of(row, now=now, deleting=deleting) for row in rows]

    def cancel(self) -> None:
        """End every wait of this process with WorldError: what a provider does when told to stop."""
        self.clock.cancel()

    # the second reader's side

    def things(self, *, provider: str | None = None, kind: str | None = None) -> Sequence[Thing]:
        """Everything that exists, the oldest first; of one provider or of one type where asked."""
        now, deleting = self.clock.timestamp(), self._operations.deleting()
        rows = self._database.rows("SELECT * FROM things ORDER BY seq")
        return [
            thing_of(row, now=now, deleting=deleting)
            for row in rows
            if provider in (None, row["provider"]) and kind in (None, row["type"])
        ]

    def remove(self, key: str, *, seconds: float = 0.0) -> None:
        """Delete a thing without Terraform; it takes `seconds`. Gone already is fine.

        Raises WorldError when the platform refuses, by a fault or because something is in the way.
        """
        thing = self._find(key)
        if thing is None or thing.pending:
            return
        self._calls.refuse_removal(thing.type, thing.name)
        self._refuse_while_blocked(thing, force=True)
        self._pass_time(thing, "delete", seconds, Disturbance())
        self._drop(thing, "remove", left=frozenset())

    def lose(self, type: str, name: str) -> bool:  # noqa: A002
        """Let a thing vanish behind everybody's back; whether there was one."""
        thing = self._named(type, name)
        if thing is not None:
            self._drop(thing, "lose", left=frozenset())
        return thing is not None

    def stop(self, type: str, name: str) -> bool:  # noqa: A002
        """Switch a machine off behind everybody's back; whether there was one."""
        thing = self._named(type, name)
        if thing is None:
            return False
        with self._ledger() as (_, ledger):
            ledger.change(thing, {**thing.attributes, "running": False}, verb="stop")
        return True

    def counter(self, name: str) -> int:
        """The next number of a sequence, from 1 on; no two callers get the same."""
        with self._ledger() as (_, ledger):
            return ledger.counter(name)

    def get_document(self, kind: str, name: str) -> dict[str, Any] | None:
        """One of the documents in which images, clusters and the host are kept."""
        row = self._database.row("SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name))
        if row is None:
            return None
        body: dict[str, Any] = json.loads(row["body"])
        return body

    def put_document(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document, instead of the one of that kind and name."""
        with self._ledger() as (_, ledger):
            ledger.put_document(kind, name, document)

    def delete_document(self, kind: str, name: str) -> bool:
        """Forget a document; whether there was one."""
        with self._ledger() as (_, ledger):
            return ledger.delete_document(kind, name)

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
        with self._ledger() as (_, ledger):
            ledger.log(verb, type_, name, detail=detail)

    @contextmanager
    def transaction(self) -> Iterator[Ledger]:
        """Several changes that happen together or not at all. Not to be nested; nobody waits in one."""
        with self._ledger() as (_, ledger):
            yield ledger

    def reset(self) -> None:
        """Empty everything: things, faults, documents, counters, log; the clock starts at real now."""
        self._database.empty(now=microseconds(time.time()))

    # within

    @contextmanager
    def _ledger(self) -> Iterator[tuple[sqlite3.Connection, Ledger]]:
        with self._database.write() as connection:
            yield connection, Ledger(connection, now=self.clock.timestamp())

    def _blocked(self, thing: Thing, *, force: bool) -> Block | None:
        effects = effects_of(thing.provider)
        if effects is None:
            return None
        with self._database.read() as connection:
            return effects.blocked(Ledger(connection, now=self.clock.timestamp()), thing, force=force)

    def _refuse_while_blocked(self, thing: Thing, *, force: bool) -> Block | None:
        block = self._blocked(thing, force=force)
        if block is not None:
            raise WorldError(block.summary, block.detail)
        return None

    def _wait_until_free(self, thing: Thing) -> None:
        """Try again while something is in the way, for as long as the real provider would."""
        started = self.clock.timestamp()
        while (block := self._blocked(thing, force=False)) is not None:
            if self.clock.timestamp() - started >= block.patience:
                raise WorldError(block.summary, block.detail)
            try:
                self.clock.sleep(_RETRY)
            except CancelledError as error:
                raise WorldError(f"cancelled: delete {noun(thing.type)} '{thing.name}'") from error

    def _leavings(self, thing: Thing) -> frozenset[str]:
        """What faults have the platform leave behind as `thing` goes."""
        effects = effects_of(thing.provider)
        return frozenset(
            what
            for what in (effects.leavings(thing) if effects else ())
            if self.faults.take("leave", what, thing.name, verbs=("leave",)).fault
        )

    def _spend(self, thing: Thing, action: str, seconds: float | None) -> Disturbance:
        """Let the time of a change of `thing` pass, and return what else struck it."""
        disturbed = self._calls.disturb(action, thing.type, thing.name)
        self._pass_time(thing, action, seconds, disturbed)
        return disturbed

    def _pass_time(self, thing: Thing, action: str, seconds: float | None, disturbed: Disturbance) -> None:
        if seconds is None:
            seconds = seconds_for(thing.type, action, thing.name)
        took = 0.0 if thing.local else seconds * disturbed.factor
        with self._database.write() as connection:
            operation = self._calls.begin(connection, action, took, disturbed, key=thing.key)
        self._calls.endure(action, thing.type, thing.name, disturbed, operation)

    def _forget_lock(self, disturbed: Disturbance, thing: Thing) -> None:
        """Have whoever made this change lose Terraform's lock, when a fault says so."""
        struck = disturbed.struck("lose") or disturbed.struck("stale")
        if struck is not None:
            from zave.rehearsal.locks import leave_lock

            leave_lock(self, thing, stale=struck.verb == "stale")

    def _drop(self, thing: Thing, verb: str, *, left: frozenset[str]) -> None:
        effects = effects_of(thing.provider)
        with self._ledger() as (_, ledger):
            instead = effects.instead(ledger, thing) if effects is not None else None
            if instead is not None:
                ledger.change(thing, instead, verb=verb)
            elif ledger.drop(thing, verb=verb) and effects is not None:
                effects.gone(ledger, thing, left=left)

    def _find(self, key: str) -> Thing | None:
        row = self._database.row("SELECT * FROM things WHERE key = ?", (key,))
        if row is None:
            return None
        return thing_of(row, now=self.clock.timestamp(), deleting=self._operations.deleting())

    def _named(self, type_: str, name: str) -> Thing | None:
        matching = (thing for thing in self.things() if (thing.type, thing.name) == (type_, name))
        return next(matching, None)
