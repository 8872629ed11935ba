"""Opening `state.db`: made at the first start, restored when damaged, never silently made anew.

Every zave that uses the database holds `state.lock` shared as long as it does. Whoever repairs
takes it exclusively, so that nobody writes to a file that is being put aside; `repair.lock` lets
repairers queue. Both are freed by the kernel when their holder dies.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zave.clock import Clock, rfc3339
from zave.errors import StateError, UsageError
from zave.state.directory import StateDirectory
from zave.state.integrity import (
    BUSY_SECONDS,
    DamagedError,
    FileLock,
    Sound,
    Watermark,
    back_up,
    backup_time,
    backups_in,
    examine,
    half_made,
    install,
    synchronise,
)
from zave.state.migrations import MIGRATIONS, migrate, refuse_newer, version_of

_RUNS_NAMED = 20


@dataclass(frozen=True)
class Opened:
    """An open, sound, up-to-date database. `users` is to be closed after `connection`."""

    connection: sqlite3.Connection
    users: FileLock
    watermark: Watermark
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Trouble:
    """What is wrong. `survivor` is set when the file is sound but lacks commits."""

    text: str
    absent: bool = False
    survivor: Sound | None = None


@dataclass(frozen=True)
class Opening:
    """One opening of the database in `directory`.

    `clock` is the machine's: backups and damaged files are named by real time. `patience` is how
    many seconds other processes may take.
    """

    directory: StateDirectory
    clock: Clock
    migrations: Sequence[Sequence[str]] = MIGRATIONS
    patience: float = 10.0

    def run(self) -> Opened:
        """Check, repair, migrate and open. Raises StateError when that is not possible."""
        self.directory.prepare()
        watermark = Watermark(self.directory.watermark)
        users = FileLock(self.directory.users_lock)
        try:
            self._take(users, fcntl.LOCK_SH)
            notices: list[str] = []
            if self._trouble(watermark) is not None:
                users.take(fcntl.LOCK_UN, patience=0)
                notices = self._repair(users, watermark)
            connection = self._connect()
            return Opened(connection, users, watermark, tuple(notices))
        except (sqlite3.Error, DamagedError, OSError) as error:
            users.close()
            raise StateError(
                f"cannot open zave's record {self.directory.database}",
                details=str(error),
                where=str(self.directory.database),
                resolution="check the disk, its free space and the rights of the folder, then try again",
            ) from error
        except BaseException:
            users.close()
            raise

    def start_empty(self) -> Path | None:
        """Begin an empty record where the old one is lost; the folder with what was left of it, if anything.

        The user has been told. Raises UsageError, and changes nothing, while there is a usable record or
        a good backup of one.
        """
        self.directory.prepare()
        watermark = Watermark(self.directory.watermark)
        with contextlib.ExitStack() as locks:
            queue, users = FileLock(self.directory.repair_lock), FileLock(self.directory.users_lock)
            for lock in (queue, users):
                locks.callback(lock.close)
                self._take(lock, fcntl.LOCK_EX)
            best = None if self._trouble(watermark) is None else self._best_backup()[0]
            if best is not None or self._trouble(watermark) is None:
                raise UsageError(
                    "the record is not lost" if best is None else f"there is a good backup: {best}",
                    where=str(self.directory.database),
                    resolution="run the same command without --new-record",
                )
            kept = self._keep_aside(self.clock.now())
            # the logs first: SQLite would replay them into the new file
            for file in reversed(self.directory.database_files):
                file.unlink(missing_ok=True)
            self._create(watermark)
            return kept

    def _take(self, lock: FileLock, operation: int) -> None:
        if not lock.take(operation, patience=self.patience):
            raise StateError(
                f"{self.directory.database} needs care, but another zave is using it",
                where=str(self.directory.database),
                resolution="wait until every other zave has ended, then try again",
            )

    def _trouble(self, watermark: Watermark) -> _Trouble | None:
        """What is wrong with the database, None when nothing is."""
        # read first: a writer may commit between the two readings
        expected = watermark.read()
        path = self.directory.database
        try:
            sound = examine(path, expected=expected)
        except FileNotFoundError:
            return _Trouble("is not there", absent=True)
        except DamagedError as error:
            return _Trouble(str(error))
        refuse_newer(sound.version, path=str(path), known=len(self.migrations))
        if sound.sequence >= expected:
            return None
        changes = "change" if expected - sound.sequence == 1 else f"{expected - sound.sequence} changes"
        text = f"lacks the last {changes} (its log is missing, or it is an old copy)"
        try:
            # thorough: a file without its log may be made of pages of different ages
            return _Trouble(text, survivor=examine(path, expected=expected, thorough=True))
        except DamagedError as error:
            return _Trouble(str(error))

    def _repair(self, users: FileLock, watermark: Watermark) -> list[str]:
        """Put the database right, unless another process did so meanwhile; keeps `users` shared."""
        queue = FileLock(self.directory.repair_lock)
        try:
            self._take(queue, fcntl.LOCK_EX)
            self._take(users, fcntl.LOCK_SH)
            if self._trouble(watermark) is None:
                return []
            self._take(users, fcntl.LOCK_EX)
            trouble = self._trouble(watermark)
            notices: list[str] = []
            if trouble is not None and trouble.absent and not self._was_there_before(watermark):
                self._create(watermark)
            elif trouble is not None:
                notices = [self._restore(trouble, watermark)]
            self._take(users, fcntl.LOCK_SH)
            return notices
        finally:
            queue.close()

    def _was_there_before(self, watermark: Watermark) -> bool:
        """Whether anything tells of a database that was used."""
        return (
            watermark.read() > 0
            or any(path.exists() for path in self.directory.database_files)
            or bool(backups_in(self.directory.backups))
            or next(self.directory.instances.glob("*/events/*.jsonl"), None) is not None
        )

    def _create(self, watermark: Watermark) -> None:
        # made aside and moved into place: a zero-byte state.db is then always damage
        with half_made(self.directory.root) as fresh:
            connection = sqlite3.connect(fresh, isolation_level=None)
            with contextlib.closing(connection):
                # `install` waits for the disk, once
                connection.execute("PRAGMA synchronous = OFF")
                migrate(connection, self.migrations)
                # before others can open it: they would be in the way
                connection.execute("PRAGMA journal_mode = WAL")
            install(fresh, self.directory.database)
        watermark.write(0)
        watermark.close()

    def _restore(self, trouble: _Trouble, watermark: Watermark) -> str:
        """Keep the damaged files aside and go on with the best copy; returns the notice."""
        best, sound, rejected = self._best_backup()
        survivor = trouble.survivor
        if survivor and (sound is None or survivor.sequence >= sound.sequence):
            best, sound = None, survivor
        if sound is None:
            raise self._hopeless(trouble, rejected)
        now = self.clock.now()
        kept = self._keep_aside(now)
        database, *logs = self.directory.database_files
        if best is not None:
            with half_made(self.directory.root) as copy:
                _copy(best, copy)
                # before the database: SQLite would replay a foreign log into the restored one
                for log in logs:
                    log.unlink(missing_ok=True)
                install(copy, database)
        watermark.write(sound.sequence)
        watermark.close()
        return self._notice(trouble, best=best, kept=kept)

    def _best_backup(self) -> tuple[Path | None, Sound | None, list[str]]:
        """The sound backup with the most commits, and why others were rejected."""
        found: list[tuple[int, Path, Sound]] = []
        rejected = []
        for path in backups_in(self.directory.backups):
            try:
                sound = examine(path, thorough=True)
            except DamagedError as error:
                rejected.append(f"{path} {error}")
            except (OSError, StateError) as error:
                rejected.append(f"{path} cannot be read ({error})")
            else:
                found.append((sound.sequence, path, sound))
        if not found:
            return None, None, rejected
        _, path, sound = max(found, key=lambda entry: entry[:2])
        return path, sound, rejected

    def _keep_aside(self, now: datetime) -> Path | None:
        """Copy the database's files to `damaged/<time>/`; None when there are none."""
        present = [path for path in self.directory.database_files if path.exists()]
        if not present:
            return None
        folder = self.directory.damaged / now.strftime("%Y%m%dT%H%M%S.%fZ")
        for path in (self.directory.damaged, folder):
            path.mkdir(mode=0o700, exist_ok=True)
        for path in present:
            _copy(path, folder / path.name)
        synchronise(folder)
        return folder

    def _notice(self, trouble: _Trouble, *, best: Path | None, kept: Path | None) -> str:
        parts = [f"{self.directory.database} {trouble.text}."]
        if kept is not None:
            parts.append(f"What was found is kept in {kept}.")
        if best is not None:
            made = backup_time(best)
            age = f" of {rfc3339(made)}" if made else ""
            parts.append(f"The record was restored from the backup{age} ({best}).")
        missing = self._runs_missing()
        if missing:
            named = ", ".join(missing[:_RUNS_NAMED]) + (", ..." if len(missing) > _RUNS_NAMED else "")
            parts.append(f"Missing from the record, wholly or in part: {named}.")
        else:
            parts.append("No run is known that the record lacks, but its last changes may be missing.")
        parts.append("`zave sweep` shows what exists whether recorded or not.")
        return " ".join(parts)

    def _runs_missing(self) -> list[str]:
        """Runs that wrote events and whose end is not recorded, as 'ID (INSTANCE)', oldest first."""
        uri = f"{self.directory.database.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)
        with contextlib.closing(connection):
            query = "SELECT id FROM runs WHERE finished_at IS NOT NULL"
            finished = {str(row[0]) for row in connection.execute(query)}
        events = self.directory.instances.glob("*/events/*.jsonl")
        missing = [(path.stem, path.parents[1].name) for path in events if path.stem not in finished]
        return [f"{run_id} ({instance})" for run_id, instance in sorted(missing)]

    def _hopeless(self, trouble: _Trouble, rejected: Sequence[str]) -> StateError:
        return StateError(
            f"zave's record cannot be used: {self.directory.database} {trouble.text}, "
            "and there is no good backup",
            details="\n".join(rejected) or f"there is no backup in {self.directory.backups}",
            where=str(self.directory.database),
            resolution=(
                f"nothing was changed. Put a good copy at {self.directory.database}, or start with an empty "
                "record and find again what stands, one instance after the other: "
                "`zave adopt ENV --new-record`, then `zave adopt ENV`"
            ),
        )

    def _connect(self) -> sqlite3.Connection:
        """The connection for work, with the schema of this zave."""
        connection = sqlite3.connect(
            self.directory.database, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if version_of(connection) < len(self.migrations):
                self.directory.backups.mkdir(mode=0o700, exist_ok=True)
                back_up(connection, self.directory.backups, now=self.clock.now())
                migrate(connection, self.migrations)
        except BaseException:
            connection.close()
            raise
        return connection


def _copy(source: Path, destination: Path) -> None:
    """Copy a file's content into a private file, onto the disk."""
    # here: needed for damage only, and every command would pay for the import
    import shutil

    os.close(os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    shutil.copyfile(source, destination)
    synchronise(destination)
