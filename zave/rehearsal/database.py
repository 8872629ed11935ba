"""The world's SQLite file: made atomically, shared by many processes, each of which may be killed.

Every change is one short IMMEDIATE transaction; nobody waits while holding one. WAL keeps readers
and the writer apart, and a killed writer's half transaction is simply not there.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zave.errors import StateError

VERSION = 1
BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE clock (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  virtual REAL NOT NULL,        -- Unix time that the virtual clock has reached at least
  speed REAL NOT NULL,          -- virtual seconds a real second; 0: driven by operations alone
  base_virtual REAL NOT NULL,   -- with a speed: virtual time at base_real
  base_real REAL NOT NULL,      -- seconds since boot
  completed REAL NOT NULL       -- seconds since boot at which an operation last completed
);
CREATE TABLE operations (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pid INTEGER NOT NULL,
  started INTEGER NOT NULL,     -- the process's start time, so that a reused pid is another process
  action TEXT NOT NULL,
  thing TEXT NOT NULL,
  finishes_at REAL NOT NULL     -- virtual Unix time
);
CREATE INDEX operations_by_finish ON operations (finishes_at, id);
CREATE TABLE things (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  provider TEXT NOT NULL,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  identity TEXT,                -- what the platform keeps unique among things of one type
  attributes TEXT NOT NULL,
  created_at REAL NOT NULL,
  ready_at REAL NOT NULL,
  local INTEGER NOT NULL,
  left_behind INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX things_by_identity ON things (type, identity) WHERE identity IS NOT NULL;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE documents (
  kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name)
);
CREATE TABLE faults (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  text TEXT NOT NULL,
  remaining INTEGER,            -- NULL: for ever
  skip INTEGER NOT NULL         -- matching calls that still pass unharmed
);
CREATE TABLE log (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  virtual_at REAL NOT NULL,
  real_at REAL NOT NULL,
  verb TEXT NOT NULL,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  detail TEXT NOT NULL,
  pid INTEGER NOT NULL
);
"""

TABLES = ("clock", "operations", "things", "counters", "documents", "faults", "log")


class Database:
    """One connection a process, shared by its threads one at a time."""

    def __init__(self, path: Path, *, now: float) -> None:
        """Open the world at `path`, making it when absent; its clock then starts at `now`.

        Raises StateError when the file there is not a world that this version can read.
        """
        self.path = path
        self._lock = threading.RLock()
        if not path.exists():
            _make(path, now=now)
        try:
            self._connection = _connect(path)
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise _unreadable(path, str(error)) from error
        if found != VERSION:
            self._connection.close()
            raise _unreadable(path, f"its version is {found}, this zave reads {VERSION}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One IMMEDIATE transaction, rolled back when the block raises. Not to be nested."""
        with self._lock, self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # a full disk has SQLite roll back by itself
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The connection for several reading statements, without a transaction around them."""
        with self._lock, self._told():
            yield self._connection

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of one reading statement."""
        with self._lock, self._told():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of one reading statement."""
        with self._lock, self._told():
            row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
            return row

    def empty(self, *, now: float) -> None:
        """Make the world as new, with its clock at `now`."""
        with self.write() as connection:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the constant above
            _start_clock(connection, now=now)

    def close(self) -> None:
        """Close the connection; the world stays."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _unreadable(self.path, str(error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # a killed process loses nothing so; a power cut may end a simulated world
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _make(path: Path, *, now: float) -> None:
    # built aside and linked into place: no process ever sees half a world, and of many that start at
    # once exactly one wins
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        connection = _connect(draft)
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION};")
        _start_clock(connection, now=now)
        connection.execute("COMMIT")
        # kept in the file's header, so that nobody has to switch it while others are connected
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _start_clock(connection: sqlite3.Connection, *, now: float) -> None:
    connection.execute("INSERT INTO clock VALUES (1, ?, 0, ?, 0, 0)", (now, now))


def _unreadable(path: Path, reason: str) -> StateError:
    return StateError(
        "the simulated world cannot be read",
        details=reason,
        where=str(path),
        resolution="move that file and its -wal and -shm companions away: the next rehearsal starts empty",
    )
