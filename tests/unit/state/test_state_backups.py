import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zave.clock import Clock
from zave.errors import StateError
from zave.state.database import Database
from zave.state.directory import StateDirectory
from zave.state.integrity import backup_time, backups_in, examine
from zave.state.migrations import MIGRATIONS
from zave.state.store import StateStore


@pytest.fixture
def database(directory: StateDirectory, clock: Clock) -> Database:
    return Database(directory, machine_clock=clock)


def put(database: Database, value: int) -> None:
    with database.writing() as connection:
        connection.execute("INSERT OR REPLACE INTO facts VALUES ('a', 'b', ?)", (str(value),))


def test_backup_is_one_private_verified_file_with_all_commits(
    store: StateStore, directory: StateDirectory
) -> None:
    store.put_fact("homelab", "key", "value")
    path = store.backup()
    assert list(directory.backups.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert examine(path, thorough=True).version == len(MIGRATIONS)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT value FROM facts").fetchall() == [('"value"',)]
    connection.close()
    assert list(directory.backups.iterdir()) == [path], "reading it leaves no log beside it"


def test_backup_is_named_by_the_machines_time(database: Database, clock: Clock) -> None:
    path = database.backup()
    assert path.name == "state-20261123T101500.000000Z.db"
    assert backup_time(path) == clock.now()


def test_ten_newest_are_kept_also_when_the_clock_was_set_back(
    database: Database, directory: StateDirectory, clock: Clock
) -> None:
    made = []
    for number in range(13):
        put(database, number)
        made.append(database.backup())
        clock.sleep(-3600)
    assert backups_in(directory.backups) == made[:-11:-1]
    assert len(set(made)) == 13
    newest = examine(backups_in(directory.backups)[0])
    assert newest.sequence == 13


def test_foreign_files_among_the_backups_stay(database: Database, directory: StateDirectory) -> None:
    directory.backups.mkdir(mode=0o700)
    (directory.backups / "notes.txt").write_text("mine")
    for _ in range(12):
        database.backup()
    assert (directory.backups / "notes.txt").read_text() == "mine"
    assert len(list(directory.backups.iterdir())) == 11


def test_what_a_killed_backup_left_goes_with_a_later_one(
    database: Database, directory: StateDirectory
) -> None:
    directory.backups.mkdir(mode=0o700)
    old, fresh = directory.backups / ".new-1-aa.db", directory.backups / ".new-2-bb.db"
    for path in (old, fresh):
        path.touch()
    two_hours_ago = (datetime.now(UTC) - timedelta(hours=2)).timestamp()
    os.utime(old, (two_hours_ago, two_hours_ago))
    database.backup()
    assert not old.exists()
    assert fresh.exists(), "another process may be writing it"


def test_damaged_database_is_not_copied_over_good_backups(
    open_store: Callable[[], StateStore], directory: StateDirectory
) -> None:
    store = open_store()
    store.put_fact("a", "b", "x" * 100_000)
    good = store.backup()
    store.close()
    store = open_store()
    content = bytearray(directory.database.read_bytes())
    content[-4096 * 4 :] = b"\xff" * 4096 * 4
    with directory.database.open("r+b") as file:
        file.write(content)
    with pytest.raises(StateError, match=r"cannot make|is damaged"):
        store.backup()
    assert list(directory.backups.iterdir()) == [good]


def test_backup_that_finds_no_room_says_so(database: Database, directory: StateDirectory) -> None:
    directory.backups.touch()
    with pytest.raises(StateError, match="cannot make a backup"):
        database.backup()


def test_names_that_are_no_time_have_none() -> None:
    assert backup_time(Path("state-yesterday.db")) is None
