"""One connection to `state.db` for all threads: every write is one durable, counted transaction."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zave.clock import Clock, SystemClock
from zave.errors import StateError
from zave.state.directory import StateDirectory
from zave.state.integrity import DamagedError, back_up, is_damage
from zave.state.recovery import Opening

Row = tuple[Any, ...]


class Database:
    """The open database of `directory`. `machine_clock` names backups; they are real things."""

    def __init__(self, directory: StateDirectory, *, machine_clock: Clock | None = None) -> None:
        self.directory = directory
        self._clock = machine_clock or SystemClock()
        opened = Opening(directory, clock=self._clock).run()
        self.notices = list(opened.notices)
        self._connection = opened.connection
        self._users = opened.users
        self._watermark = opened.watermark
        # re-entrant: a signal handler that comes here must get an error, not wait for itself
        self._turn = threading.RLock()

    def read(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of one query. Raises StateError."""
        with self._turn, self._translated():
            return self._connection.execute(query, parameters).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Several queries that see one moment. Raises StateError."""
        with self._turn, self._translated():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block is left, undone when it raises.

        Raises StateError for every failure of the database.
        """
        with self._turn, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("UPDATE meta SET sequence = sequence + 1")
                (sequence,) = self._connection.execute("SELECT sequence FROM meta").fetchone()
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._watermark.write(sequence)

    def backup(self) -> Path:
        """Write a verified copy into the backups; returns its path. Raises StateError."""
        folder = self.directory.backups
        with self._turn, self._translated():
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                return back_up(self._connection, folder, now=self._clock.now())
            except (DamagedError, OSError) as error:
                raise self._failure(f"cannot make a backup of {self.directory.database}", error) from error

    def close(self) -> None:
        """Close; a second call does nothing."""
        with self._turn:
            self._connection.close()
            self._watermark.close()
            self._users.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # zave's own mistake, not the record's
        except sqlite3.IntegrityError as error:
            raise self._failure("the record refuses what contradicts it", error) from error
        except sqlite3.Error as error:
            if is_damage(error):
                brief = f"{self.directory.database} is damaged"
            else:
                brief = f"{self.directory.database} cannot be read or written"
            raise self._failure(brief, error) from error

    def _failure(self, brief: str, error: Exception) -> StateError:
        return StateError(
            brief,
            details=str(error),
            where=str(self.directory.database),
            resolution=(
                "check the disk and its free space, then give the same command again: it checks the record "
                "first, restores it if it must, and goes on where this run stopped"
            ),
        )
