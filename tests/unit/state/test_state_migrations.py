import sqlite3
import threading
from collections.abc import Callable

import pytest

from zave.clock import Clock
from zave.errors import StateError
from zave.state.directory import StateDirectory
from zave.state.integrity import backups_in, examine
from zave.state.migrations import MIGRATIONS
from zave.state.records import InstanceRecord
from zave.state.recovery import Opened, Opening
from zave.state.store import StateStore

NEXT = (
    *MIGRATIONS,
    ("ALTER TABLE instances ADD COLUMN owner TEXT", "UPDATE instances SET owner = 'me'"),
)


@pytest.fixture
def older(open_store: Callable[[], StateStore], homelab: InstanceRecord) -> None:
    store = open_store()
    store.save_instance(homelab)
    store.close()


def close(opened: Opened) -> None:
    opened.connection.close()
    opened.users.close()


def test_older_record_is_backed_up_then_brought_up_to_date(
    older: None, directory: StateDirectory, clock: Clock
) -> None:
    opened = Opening(directory, clock=clock, migrations=NEXT).run()
    assert opened.connection.execute("SELECT name, owner FROM instances").fetchall() == [("homelab", "me")]
    close(opened)
    (backup,) = backups_in(directory.backups)
    assert examine(backup).version == len(MIGRATIONS)
    assert examine(directory.database).version == len(NEXT)


def test_record_that_is_up_to_date_is_left_alone(
    older: None, directory: StateDirectory, clock: Clock
) -> None:
    for _ in range(2):
        close(Opening(directory, clock=clock, migrations=NEXT).run())
    assert len(backups_in(directory.backups)) == 1


def test_new_record_takes_every_change(directory: StateDirectory, clock: Clock) -> None:
    opened = Opening(directory, clock=clock, migrations=NEXT).run()
    assert opened.connection.execute("SELECT owner FROM instances").fetchall() == []
    close(opened)
    assert backups_in(directory.backups) == []


def test_change_that_fails_leaves_the_record_as_it_was(
    older: None, directory: StateDirectory, clock: Clock, open_store: Callable[[], StateStore]
) -> None:
    broken = (*NEXT, ("CREATE TABLE later (a TEXT)", "UPDATE nothing SET a = 1"))
    with pytest.raises(StateError, match="cannot open zave's record"):
        Opening(directory, clock=clock, migrations=broken).run()
    assert examine(directory.database).version == len(MIGRATIONS)
    assert [record.name for record in open_store().instances()] == ["homelab"]


def test_two_processes_migrate_once(older: None, directory: StateDirectory, clock: Clock) -> None:
    start = threading.Barrier(4)
    opened: list[Opened] = []

    def work() -> None:
        start.wait()
        opened.append(Opening(directory, clock=clock, migrations=NEXT).run())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for one in opened:
        close(one)
    assert examine(directory.database).version == len(NEXT)


def test_record_of_a_newer_zave_is_refused_and_untouched(
    older: None, directory: StateDirectory, clock: Clock, open_store: Callable[[], StateStore]
) -> None:
    close(Opening(directory, clock=clock, migrations=NEXT).run())
    before = directory.database.read_bytes()
    with pytest.raises(StateError, match="was written by a newer zave"):
        open_store()
    assert directory.database.read_bytes() == before


def test_backup_of_an_older_schema_is_restored_and_migrated(
    older: None, directory: StateDirectory, clock: Clock, open_store: Callable[[], StateStore]
) -> None:
    store = open_store()
    store.backup()
    store.close()
    directory.database.write_bytes(b"")
    opened = Opening(directory, clock=clock, migrations=NEXT).run()
    assert opened.connection.execute("SELECT owner FROM instances").fetchall() == [("me",)]
    assert len(opened.notices) == 1
    close(opened)


def test_record_is_durable_and_keeps_its_references(directory: StateDirectory, clock: Clock) -> None:
    opened = Opening(directory, clock=clock).run()
    values = {
        name: opened.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    with pytest.raises(sqlite3.IntegrityError):
        opened.connection.execute(
            "INSERT INTO resources (instance, address, type, name, state, run_id) "
            "VALUES ('a', 'b', 'c', 'd', 'gone', 'never')"
        )
    close(opened)
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
