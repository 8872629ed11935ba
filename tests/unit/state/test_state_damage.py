import fcntl
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from zave.clock import Clock, SystemClock
from zave.errors import StateError
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.recovery import Opening
from zave.state.store import StateStore

OpenStore = Callable[[], StateStore]
Damage = Callable[[StateDirectory], None]

OPENER = """
import sys
from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.store import StateStore
directory = StateDirectory.locate({'ZAVE_STATE_DIR': sys.argv[1]}, rehearsal=False)
print("ready", flush=True)
sys.stdin.readline()
store = StateStore.open(directory, clock=SystemClock())
print(len(store.instances()), len(store.notices), flush=True)
sys.stdin.readline()
store.close()
"""


def truncated(directory: StateDirectory) -> None:
    os.truncate(directory.database, directory.database.stat().st_size // 2 + 100)


def cut_to_a_few_bytes(directory: StateDirectory) -> None:
    os.truncate(directory.database, 60)


def emptied(directory: StateDirectory) -> None:
    os.truncate(directory.database, 0)


def garbage(directory: StateDirectory) -> None:
    directory.database.write_bytes(random.Random(1).randbytes(20_000))


def garbage_in_a_page(directory: StateDirectory) -> None:
    """The root page of the instances table: its header is gone, the rest of the file is whole."""
    connection = sqlite3.connect(directory.database)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'instances'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    content = bytearray(directory.database.read_bytes())
    content[(page - 1) * size : page * size] = random.Random(2).randbytes(size)
    directory.database.write_bytes(content)


def broken_document(directory: StateDirectory) -> None:
    """The pages are whole, a JSON column is not."""
    content = directory.database.read_bytes()
    assert b'{"nodes":' in content
    directory.database.write_bytes(content.replace(b'{"nodes":', b'{"nodes"}'))


def other_program(directory: StateDirectory) -> None:
    directory.database.unlink()
    connection = sqlite3.connect(directory.database)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    directory.database.chmod(0o600)


def vanished(directory: StateDirectory) -> None:
    directory.database.unlink()


DAMAGES = [
    truncated,
    cut_to_a_few_bytes,
    emptied,
    garbage,
    garbage_in_a_page,
    broken_document,
    other_program,
    vanished,
]
any_damage = pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)


@pytest.fixture
def used(directory: StateDirectory, open_store: OpenStore, homelab: InstanceRecord) -> StateStore:
    """Closed: one instance and a finished run, without a backup."""
    store = open_store()
    store.save_instance(homelab)
    run = store.begin_run(instance="homelab", command="up", arguments=["up"])
    store.finish_run(run.id, outcome="done", exit_code=0, seconds=1, virtual_seconds=1)
    store.close()
    return store


def back_up(open_store: OpenStore) -> Path:
    store = open_store()
    path = store.backup()
    store.close()
    return path


def kill_after_writing(directory: StateDirectory, count: int) -> None:
    """A process commits `count` facts and is killed: they stand in the write-ahead log alone."""
    script = (
        "import os, signal, sys\n"
        "from zave.clock import SystemClock\n"
        "from zave.state.directory import StateDirectory\n"
        "from zave.state.store import StateStore\n"
        "directory = StateDirectory.locate({'ZAVE_STATE_DIR': sys.argv[1]}, rehearsal=False)\n"
        "store = StateStore.open(directory, clock=SystemClock())\n"
        "for number in range(int(sys.argv[2])): store.put_fact('homelab', f'late-{number}', number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(directory.root), str(count)], check=False)
    assert directory.database_files[1].stat().st_size > 0


@any_damage
def test_damage_is_noticed_kept_and_restored(
    used: StateStore,
    directory: StateDirectory,
    open_store: OpenStore,
    homelab: InstanceRecord,
    damage: Damage,
) -> None:
    backup = back_up(open_store)
    damage(directory)
    found = directory.database.read_bytes() if directory.database.exists() else None
    store = open_store()
    assert store.instances() == [homelab]
    assert len(store.runs("homelab")) == 1
    (notice,) = store.notices
    assert str(backup) in notice
    kept = [path for path in directory.damaged.rglob("*") if path.name == "state.db"]
    assert [path.read_bytes() for path in kept] == ([] if found is None else [found])
    assert all(str(path.parent) in notice for path in kept)
    assert not list(directory.root.rglob(".new-*"))
    store.put_fact("homelab", "goes", "on")
    store.close()
    again = open_store()
    assert again.notices == []
    assert again.fact("homelab", "goes") == "on"


@any_damage
def test_damage_without_a_backup_is_refused_and_nothing_is_changed(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, damage: Damage
) -> None:
    damage(directory)
    before = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}
    for _ in range(2):
        with pytest.raises(StateError, match="no good backup") as refused:
            open_store()
    assert "zave adopt ENV --new-record" in str(refused.value.resolution)
    assert str(directory.database) in str(refused.value.resolution)
    after = {path: path.read_bytes() for path in directory.root.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before
    assert directory.repair_lock in after


def test_database_of_another_program_is_called_so(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    other_program(directory)
    with pytest.raises(StateError, match="is not a database of zave's"):
        open_store()


def test_good_copy_put_in_place_by_hand_is_accepted(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, homelab: InstanceRecord
) -> None:
    backup = back_up(open_store)
    shutil.copyfile(backup, directory.root / "by-hand")
    backup.unlink()
    garbage(directory)
    with pytest.raises(StateError):
        open_store()
    (directory.root / "by-hand").replace(directory.database)
    store = open_store()
    assert (store.instances(), store.notices) == ([homelab], [])


def test_the_way_out_of_a_refusal_works(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    garbage(directory)
    with pytest.raises(StateError):
        open_store()
    directory.root.rename(f"{directory.root}.kept")
    assert open_store().instances() == []


def test_first_start_makes_an_empty_record_without_a_word(
    directory: StateDirectory, open_store: OpenStore
) -> None:
    store = open_store()
    assert (store.instances(), store.runs(), store.notices) == ([], [], [])
    assert not directory.damaged.exists()


def test_record_deleted_before_it_held_anything_is_a_first_start(
    directory: StateDirectory, open_store: OpenStore
) -> None:
    open_store().close()
    directory.database.unlink()
    assert open_store().notices == []


def test_events_alone_tell_of_a_record_that_was_there(
    directory: StateDirectory, open_store: OpenStore
) -> None:
    folder = directory.instance("homelab")
    folder.prepare()
    folder.run_events("20261123T101500-00a3f1").touch()
    with pytest.raises(StateError, match="is not there, and there is no good backup"):
        open_store()


def test_stray_log_is_not_replayed_into_a_new_record(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    kill_after_writing(directory, 5)
    for path in (directory.database, directory.watermark):
        path.unlink()
    with pytest.raises(StateError, match="no good backup"):
        open_store()


def test_lost_log_is_noticed_although_the_file_is_sound(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, homelab: InstanceRecord
) -> None:
    kill_after_writing(directory, 7)
    for log in directory.database_files[1:]:
        log.unlink()
    store = open_store()
    (notice,) = store.notices
    assert "lacks the last 7 changes" in notice
    assert store.instances() == [homelab]
    store.close()
    assert open_store().notices == [], "told once"


def test_damaged_log_is_kept_with_the_database_it_belongs_to(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    kill_after_writing(directory, 5)
    log = directory.database_files[1]
    content = bytearray(log.read_bytes())
    content[32:56] = bytes(24)  # the header of the first frame
    log.write_bytes(content)
    store = open_store()
    assert "lacks the last 5 changes" in store.notices[0]
    (folder,) = directory.damaged.iterdir()
    assert (folder / "state.db-wal").read_bytes() == bytes(content)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_untouched_log_of_a_killed_run_is_no_damage(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    kill_after_writing(directory, 5)
    store = open_store()
    assert store.notices == []
    assert store.fact("homelab", "late-4") == 4


def test_log_of_the_damaged_database_is_not_replayed_into_the_restored_one(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    back_up(open_store)
    kill_after_writing(directory, 5)
    directory.database.write_bytes(b"x" * 5000)
    store = open_store()
    assert store.fact("homelab", "late-0") is None
    (folder,) = directory.damaged.iterdir()
    assert (folder / "state.db-wal").stat().st_size > 0


def test_old_copy_in_the_place_of_the_record_gives_way_to_a_newer_backup(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    shutil.copyfile(directory.database, directory.root / "old")
    store = open_store()
    store.put_fact("homelab", "newer", 1)
    store.backup()
    store.close()
    (directory.root / "old").replace(directory.database)
    directory.database.chmod(0o600)
    restored = open_store()
    assert "lacks the last change " in restored.notices[0]
    assert restored.fact("homelab", "newer") == 1


def test_newest_backup_that_is_sound_is_taken(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    store = open_store()
    backups = []
    for number in range(3):
        store.put_fact("homelab", "number", number)
        backups.append(store.backup())
    store.close()
    backups[2].write_bytes(b"")
    garbage(directory)
    restored = open_store()
    assert restored.fact("homelab", "number") == 1
    assert str(backups[1]) in restored.notices[0]


def test_refusal_tells_what_is_wrong_with_each_backup(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    backup = back_up(open_store)
    backup.write_bytes(b"")
    garbage(directory)
    with pytest.raises(StateError) as refused:
        open_store()
    assert refused.value.details == f"{backup} is empty"


def test_notice_names_the_runs_that_the_backup_cannot_know(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, homelab: InstanceRecord
) -> None:
    store = open_store()
    store.save_instance(replace(homelab, name="other"))
    (known,) = store.runs("homelab")
    unfinished = store.begin_run(instance="homelab", command="up", arguments=[])
    store.backup()
    later = store.begin_run(instance="other", command="up", arguments=[])
    store.close()
    for run in (known, unfinished, later):
        folder = directory.instance(run.instance)
        folder.prepare_run(run.id)
        folder.run_events(run.id).touch()
    vanished(directory)
    (notice,) = open_store().notices
    assert (
        f"Missing from the record, wholly or in part: {unfinished.id} (homelab), {later.id} (other)."
        in notice
    )
    assert known.id not in notice


def test_repairers_do_not_fight(used: StateStore, directory: StateDirectory, open_store: OpenStore) -> None:
    back_up(open_store)
    garbage(directory)
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(directory.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for opener in openers:
        assert opener.stdout is not None
        assert opener.stdout.readline() == "ready\n"
    with directory.users_lock.open("wb") as rival:
        # all find the damage before one of them can begin to repair
        fcntl.flock(rival, fcntl.LOCK_SH)
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.write("\n")
            opener.stdin.flush()
        time.sleep(0.5)
    # the first of them stays, as a long run would, and must not keep the others waiting
    answers = sorted(opener.stdout.readline() for opener in openers if opener.stdout is not None)
    for opener in openers:
        opener.communicate()
    assert answers == ["1 0\n"] * 7 + ["1 1\n"]
    assert len(list(directory.damaged.iterdir())) == 1


def test_database_in_use_is_not_taken_from_under_its_user(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, clock: Clock
) -> None:
    back_up(open_store)
    garbage(directory)
    found = directory.database.read_bytes()
    with directory.users_lock.open("rb") as user:
        fcntl.flock(user, fcntl.LOCK_SH)
        with pytest.raises(StateError, match="another zave is using it"):
            Opening(directory, clock=clock, patience=0.2).run()
    assert directory.database.read_bytes() == found
    assert len(open_store().notices) == 1


@pytest.mark.parametrize("damage", [garbage, vanished], ids=lambda damage: damage.__name__)
def test_killed_repair_is_repeated(
    used: StateStore,
    directory: StateDirectory,
    open_store: OpenStore,
    homelab: InstanceRecord,
    damage: Damage,
) -> None:
    back_up(open_store)
    kill_after_writing(directory, 3)
    damage(directory)
    moments = random.Random(20261123)
    for _ in range(12):
        opener = subprocess.Popen(
            [sys.executable, "-c", OPENER, str(directory.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert opener.stdout is not None
        assert opener.stdin is not None
        assert opener.stdout.readline() == "ready\n"
        opener.stdin.write("\n")
        opener.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            opener.wait(timeout=moments.uniform(0.0001, 0.004))
        opener.kill()
        opener.communicate()
    store = open_store()
    assert store.instances() == [homelab]
    assert store.fact("homelab", "late-0") is None


def test_database_that_breaks_under_a_run_is_told_and_put_right_at_the_next_start(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, homelab: InstanceRecord
) -> None:
    back_up(open_store)
    store = open_store()
    size = directory.database.stat().st_size
    with directory.database.open("r+b") as file:
        file.write(b"x" * size)
    with pytest.raises(StateError, match="is damaged") as broken:
        store.instances()
    assert "again" in str(broken.value.resolution)
    store.close()
    assert open_store().instances() == [homelab]


def test_lost_watermark_is_made_again_without_a_word(
    used: StateStore, directory: StateDirectory, open_store: OpenStore
) -> None:
    directory.watermark.unlink()
    store = open_store()
    store.put_fact("homelab", "a", 1)
    assert store.notices == []
    assert directory.watermark.read_bytes().strip().isdigit()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-5", b"\xff" * 40])
def test_damaged_watermark_is_no_damage_of_the_record(
    used: StateStore, directory: StateDirectory, open_store: OpenStore, content: bytes
) -> None:
    directory.watermark.write_bytes(content)
    assert open_store().notices == []


def test_unreadable_folder_is_told_as_such_and_not_as_damage(
    used: StateStore, directory: StateDirectory
) -> None:
    directory.database.unlink()
    directory.database.mkdir(mode=0o700)
    with pytest.raises(StateError, match="is not a file"):
        StateStore.open(directory, clock=SystemClock())
    assert not directory.damaged.exists()
