"""Whether a database is sound and complete, and verified copies of it.

`PRAGMA quick_check` finds what is broken. It does not find what is missing: a database that lost
its write-ahead log, or an old copy put in its place, is sound. So every commit counts up a number
in the database, and the last one seen is kept in a file outside (`Watermark`).
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from zave.errors import StateError
from zave.state.lock import open_lock_file, try_flock, unwritable
from zave.state.migrations import APPLICATION_ID, version_of

# how long SQLite waits for another writer; each holds the lock for one short transaction
BUSY_SECONDS = 20.0
BACKUPS_KEPT = 10

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
_BACKUP_NAME = "state-%Y%m%dT%H%M%S.%fZ.db"
_HALF_MADE_PREFIX = ".new-"
_HALF_MADE_SECONDS = 3600


@dataclass(frozen=True)
class Sound:
    """A database that passed the check: its schema version and its count of commits."""

    version: int
    sequence: int


class DamagedError(Exception):
    """The file is not a sound database of zave's; the message completes 'state.db ...'."""


def examine(path: Path, *, expected: int = 0, thorough: bool = False) -> Sound:
    """Check the database at `path` without changing what it says.

    One that lacks some of `expected` commits keeps its log as it is, as evidence. Raises
    DamagedError for damage, FileNotFoundError, and StateError when the file cannot be read at all,
    which says nothing about its content.
    """
    if path.stat().st_size == 0:
        raise DamagedError("is empty")
    if path.with_name(f"{path.name}-wal").exists():
        # read-only first: the last writer to close would write the log into a damaged file
        sound = _examine(path, mode="ro", thorough=thorough)
        if sound.sequence < expected:
            return sound
    # SQLite verifies the tables' checks for writers only
    return _examine(path, mode="rw", thorough=thorough)


def _examine(path: Path, *, mode: str, thorough: bool) -> Sound:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            return _judge(connection, thorough=thorough)
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(f"is damaged ({error})") from error
        raise StateError(
            f"cannot read {path}",
            details=str(error),
            where=str(path),
            resolution="check the disk, its free space and the rights of the folder",
        ) from error


def _judge(connection: sqlite3.Connection, *, thorough: bool) -> Sound:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise DamagedError("is not a database of zave's")
    check = "integrity_check" if thorough else "quick_check"
    findings = [str(row[0]) for row in connection.execute(f"PRAGMA {check}(3)")]
    if findings != ["ok"]:
        raise DamagedError(f"is damaged ({'; '.join(findings)[:500]})")
    row = connection.execute("SELECT sequence FROM meta").fetchone()
    if row is None or not isinstance(row[0], int):
        raise DamagedError("is damaged (its count of commits is missing)")
    return Sound(version=version_of(connection), sequence=row[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite complains of the content, not of the disk, the rights or other writers."""
    code = getattr(error, "sqlite_errorcode", None)
    # ERROR: a table that must be there is not; without a code it is Python that could not decode
    return code is None or code & 0xFF in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,
    }


class Watermark:
    """The highest count of commits seen, in a small file beside the database.

    Written after each commit and never ahead of it; a lost or stale one only sees less.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def read(self) -> int:
        """The count, 0 when there is none."""
        try:
            return int(self.path.read_bytes()[:20])
        except (OSError, ValueError):
            return 0

    def write(self, sequence: int) -> None:
        """Note `sequence`. A commit is not undone when this fails, so failures pass silently."""
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                self._descriptor = open_lock_file(self.path)
            os.pwrite(self._descriptor, b"%020d\n" % sequence, 0)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class FileLock:
    """An flock on a file of the state directory, for openers and repairers of the database."""

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = open_lock_file(path)
        except OSError as error:
            raise unwritable(path, str(error.strerror)) from error

    def take(self, operation: int, *, patience: float) -> bool:
        """Take it, or turn what is held into `operation`, within `patience` seconds."""
        deadline = time.monotonic() + patience
        while not try_flock(self._descriptor, operation):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def close(self) -> None:
        """Give it back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


# copies


def back_up(connection: sqlite3.Connection, folder: Path, *, now: datetime) -> Path:
    """Write a verified copy of the database into `folder`; keep the newest ten.

    Raises DamagedError when the copy is not sound: it is not kept then. sqlite3.Error and OSError
    pass, for instance when the disk is full.
    """
    with half_made(folder) as copy:
        target = sqlite3.connect(copy, isolation_level=None)
        with contextlib.closing(target):
            # `install` waits for the disk, once
            target.execute("PRAGMA synchronous = OFF")
            connection.backup(target)
        examine(copy)
        present = backups_in(folder)
        final = folder / _name_after(present[0] if present else None, now=now)
        install(copy, final)
    for superseded in present[BACKUPS_KEPT - 1 :]:
        superseded.unlink(missing_ok=True)
    return final


def backups_in(folder: Path) -> list[Path]:
    """The backups, newest first."""
    return sorted(folder.glob("state-*.db"), reverse=True)


def backup_time(path: Path) -> datetime | None:
    """When a backup was made, by its name."""
    try:
        return datetime.fromisoformat(path.stem.removeprefix("state-")).astimezone(UTC)
    except ValueError:
        return None


def _name_after(newest: Path | None, *, now: datetime) -> str:
    """A name that sorts after all others, also when the machine's clock was set back."""
    last = backup_time(newest) if newest else None
    moment = now if last is None else max(now, last + timedelta(microseconds=1))
    return moment.strftime(_BACKUP_NAME)


@contextmanager
def half_made(folder: Path) -> Iterator[Path]:
    """An empty private file in `folder`, removed at the end unless it was moved.

    Those that a killed process left behind are removed as well.
    """
    for leftover in folder.glob(f"{_HALF_MADE_PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > _HALF_MADE_SECONDS:
                leftover.unlink()
    path = folder / f"{_HALF_MADE_PREFIX}{os.getpid()}-{os.urandom(4).hex()}.db"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def install(source: Path, destination: Path) -> None:
    """Move a finished file into place so that it is there whole or not at all, also on power loss."""
    synchronise(source)
    source.replace(destination)
    synchronise(destination.parent)


def synchronise(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
