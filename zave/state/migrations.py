"""The schema of `state.db`, as the list of changes that lead to it.

`PRAGMA user_version` counts the changes a file has seen. A released change is never edited.
Only what SQLite 3.34 knows (RHEL 9): no STRICT, no RETURNING. JSON columns carry a check,
which `PRAGMA quick_check` verifies on every open.
"""

import sqlite3
from collections.abc import Sequence

from zave.errors import StateError

APPLICATION_ID = 0x7A617665  # "zave": tells an emptied or foreign database from ours

_FIRST = (
    # counts commits; `zave.state.integrity` compares it with a number kept outside
    "CREATE TABLE meta (sequence INTEGER NOT NULL)",
    "INSERT INTO meta (sequence) VALUES (0)",
    """CREATE TABLE instances (
        name TEXT PRIMARY KEY NOT NULL,
        environment TEXT NOT NULL,
        platform TEXT NOT NULL,
        phase TEXT NOT NULL CHECK (phase IN ('absent', 'provisioning', 'ready', 'degraded', 'failed',
                                             'destroying', 'destroyed', 'expired')),
        created_at TEXT NOT NULL,
        expires_at TEXT,
        spec TEXT NOT NULL CHECK (json_valid(spec)),
        outputs TEXT NOT NULL CHECK (json_valid(outputs))
    )""",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY NOT NULL,
        instance TEXT NOT NULL,
        command TEXT NOT NULL,
        arguments TEXT NOT NULL CHECK (json_valid(arguments)),
        started_at TEXT NOT NULL,
        finished_at TEXT,
        outcome TEXT CHECK (outcome IN ('done', 'failed', 'interrupted', 'declined')),
        exit_code INTEGER,
        seconds REAL,
        virtual_seconds REAL,
        error TEXT CHECK (error IS NULL OR json_valid(error)),
        pid INTEGER NOT NULL
    )""",
    "CREATE INDEX runs_of_instance ON runs (instance, id)",
    """CREATE TABLE steps (
        number INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        step TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'undoing', 'undone',
                                             'interrupted')),
        verb TEXT NOT NULL CHECK (verb IN ('do', 'undo')),
        run_id TEXT NOT NULL REFERENCES runs (id),
        fingerprint TEXT,
        started_at TEXT NOT NULL,
        finished_at TEXT,
        seconds REAL,
        virtual_seconds REAL,
        outputs TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(outputs)),
        reason TEXT NOT NULL DEFAULT '',
        UNIQUE (instance, step)
    )""",
    # how long steps took of late, for estimates; bounded by the store
    """CREATE TABLE timings (
        number INTEGER PRIMARY KEY,
        platform TEXT NOT NULL,
        verb TEXT NOT NULL CHECK (verb IN ('do', 'undo')),
        step TEXT NOT NULL,
        seconds REAL NOT NULL
    )""",
    "CREATE INDEX timings_of_step ON timings (platform, verb, step, number)",
    """CREATE TABLE resources (
        instance TEXT NOT NULL,
        address TEXT NOT NULL,
        type TEXT NOT NULL,
        name TEXT NOT NULL,
        id TEXT,
        state TEXT NOT NULL CHECK (state IN ('intended', 'present', 'gone')),
        run_id TEXT NOT NULL REFERENCES runs (id),
        PRIMARY KEY (instance, address)
    )""",
    """CREATE TABLE facts (
        instance TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL CHECK (json_valid(value)),
        PRIMARY KEY (instance, key)
    )""",
    """CREATE TABLE receipts (
        number INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        run_id TEXT NOT NULL REFERENCES runs (id),
        at TEXT NOT NULL,
        deleted INTEGER NOT NULL,
        accepted INTEGER NOT NULL,
        leaks INTEGER NOT NULL,
        usd_per_day_leaking REAL NOT NULL,
        document TEXT NOT NULL CHECK (json_valid(document))
    )""",
    "CREATE INDEX receipts_of_instance ON receipts (instance, number)",
    """CREATE TABLE switches (
        instance TEXT PRIMARY KEY NOT NULL,
        armed INTEGER NOT NULL CHECK (armed IN (0, 1)),
        source TEXT NOT NULL,
        schedule TEXT,
        expires_at TEXT NOT NULL,
        armed_at TEXT,
        checked_at TEXT,
        next_fire_at TEXT
    )""",
    """CREATE TABLE costs (
        number INTEGER PRIMARY KEY,
        instance TEXT NOT NULL,
        run_id TEXT REFERENCES runs (id),
        item TEXT NOT NULL,
        unit TEXT NOT NULL,
        quantity REAL NOT NULL,
        usd_rate REAL NOT NULL,
        rate_as_of TEXT NOT NULL,
        rate_source TEXT NOT NULL,
        starts_at TEXT NOT NULL,
        ends_at TEXT NOT NULL,
        usd REAL NOT NULL
    )""",
    "CREATE INDEX costs_of_instance ON costs (instance, number)",
)

MIGRATIONS: tuple[Sequence[str], ...] = (_FIRST,)


def version_of(connection: sqlite3.Connection) -> int:
    """How many changes the database has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(version: int, *, path: str, known: int) -> None:
    """Raise StateError when a newer zave wrote the file at `path`."""
    if version > known:
        raise StateError(
            f"{path} was written by a newer zave (schema {version}; this zave knows {known})",
            where=path,
            resolution="install the newer zave again, or set ZAVE_STATE_DIR to another folder",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Bring the schema up to date in one transaction; a second process finds nothing left to do."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[version_of(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
