import fcntl
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zave.errors import ExitCode, LockedError, StateError
from zave.state.lock import Holder, InstanceLock, holder

SINCE = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)

# takes the lock when its stdin says so; says "held" or what the error names; holds until stdin ends
CONTENDER = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from zave.errors import LockedError
from zave.state.lock import Holder, InstanceLock

path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    lock = InstanceLock(path).acquire(Holder.here(command="up homelab", run_id="r", since=datetime.now(UTC)))
except LockedError as error:
    print("refused", error.details, flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instances" / "homelab" / "lock"


def me(command: str = "up homelab") -> Holder:
    return Holder.here(command=command, run_id="20261123T101500-00a3f1", since=SINCE)


def start(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_place_that_takes_no_lock_is_told_with_the_reason(tmp_path: Path) -> None:
    # root may write where a user may not, but not below a file
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError) as caught:
        InstanceLock(tmp_path / "file" / "homelab" / "lock").acquire(me())
    assert caught.value.brief == "the state directory cannot be written: Not a directory"
    assert "ZAVE_STATE_DIR" in (caught.value.resolution or "")


def test_held_lock_is_refused_and_names_its_holder(path: Path) -> None:
    with InstanceLock(path).acquire(me("up homelab")), pytest.raises(LockedError) as refused:
        InstanceLock(path).acquire(me("down homelab"))
    error = refused.value
    assert error.exit_code == ExitCode.LOCKED
    assert error.brief == "homelab is being changed by another run"
    assert error.details is not None
    assert str(os.getpid()) in error.details
    assert "up homelab" in error.details
    assert "run 20261123T101500-00a3f1, since 2026-11-23T10:15:00.000Z" in error.details


def test_holder_whose_run_has_not_begun_is_named_without_one(path: Path) -> None:
    with InstanceLock(path).acquire(me()._replace(run_id="")), pytest.raises(LockedError) as refused:
        InstanceLock(path).acquire(me())
    assert str(refused.value.details).endswith(": up homelab, since 2026-11-23T10:15:00.000Z")


def test_lock_is_free_after_its_block_also_when_the_block_fails(path: Path) -> None:
    lock = InstanceLock(path).acquire(me())
    with pytest.raises(ZeroDivisionError), lock:
        _ = 1 / 0
    assert holder(path) is None
    InstanceLock(path).acquire(me()).release()


def test_holder_is_told_while_the_lock_is_held_and_only_then(path: Path) -> None:
    assert holder(path) is None
    with InstanceLock(path).acquire(me()):
        assert holder(path) == me()
    assert holder(path) is None
    assert path.exists(), "removing the file would let two runs hold the lock"


def test_lock_file_is_private_and_its_folder_too(path: Path) -> None:
    with InstanceLock(path).acquire(me()):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_symlink_in_the_place_of_the_lock_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("untouched")
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(StateError, match="symbolic links"):
        InstanceLock(path).acquire(me())
    assert (tmp_path / "precious").read_text() == "untouched"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"pid": 12',
        b"null",
        b"[]",
        b'{"pid": "x"}',
        b'{"pid": -1, "command": "", "run_id": "", "since": "", "host": ""}',
        b"\xff\xfe",
        b"[" * 50_000,
    ],
)
def test_file_that_cannot_be_read_yet_gives_an_unknown_holder(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert holder(path, patience=0.05) == Holder()
    assert holder(path) is None


def test_lock_of_an_unknown_holder_is_refused_all_the_same(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError) as refused:
            InstanceLock(path).acquire(me())
    assert refused.value.details == "the other run has not said who it is"


def test_previous_holder_that_was_killed_is_not_taken_for_the_present_one(path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale = me()._replace(pid=gone.pid)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(stale._asdict()))
    assert holder(path) is None
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert holder(path, patience=0.05) == Holder()
    InstanceLock(path).acquire(me()).release()


def test_previous_holder_that_lives_on_is_not_taken_for_the_present_one(path: Path) -> None:
    InstanceLock(path).acquire(me()).release()
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert holder(path, patience=0.05) == Holder()


def test_kill_frees_the_lock_although_a_child_of_the_holder_lives_on(path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "from datetime import datetime, UTC\n"
        "from pathlib import Path\n"
        "from zave.state.lock import Holder, InstanceLock\n"
        "holder = Holder.here(command='up', run_id='r', since=datetime.now(UTC))\n"
        "InstanceLock(Path(sys.argv[1])).acquire(holder)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], close_fds=False)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = start(script, str(path))
    child = int(line_of(process))
    try:
        found = holder(path)
        assert found is not None
        assert found.pid == process.pid
        process.kill()
        process.wait()
        os.kill(child, 0)
        assert holder(path) is None
        InstanceLock(path).acquire(me()).release()
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


def test_of_fifty_contenders_one_runs_and_all_others_name_it(path: Path) -> None:
    contenders = [start(CONTENDER, str(path)) for _ in range(50)]
    try:
        assert {line_of(contender) for contender in contenders} == {"ready"}
        for contender in contenders:
            tell(contender)
        answers = {contender.pid: line_of(contender) for contender in contenders}
    finally:
        for contender in contenders:
            contender.communicate()
    winners = [pid for pid, answer in answers.items() if answer == "held"]
    assert len(winners) == 1
    others = [answer for pid, answer in answers.items() if pid not in winners]
    assert all(answer.startswith(f"refused pid {winners[0]} ") for answer in others), others


def test_readers_never_make_a_run_fail(path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from zave.state.lock import holder\n"
        "print('ready', flush=True)\n"
        "while True: holder(Path(sys.argv[1]))\n"
    )
    InstanceLock(path).acquire(me()).release()
    readers = [start(script, str(path)) for _ in range(2)]
    try:
        assert {line_of(reader) for reader in readers} == {"ready"}
        for _ in range(300):
            InstanceLock(path).acquire(me()).release()
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def test_reader_that_looks_for_long_counts_as_no_holder(path: Path) -> None:
    script = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1])\n"
        "fcntl.flock(file, fcntl.LOCK_SH)\n"
        "print('ready', flush=True)\n"
        "time.sleep(0.3)\n"
    )
    InstanceLock(path).acquire(me()).release()
    reader = start(script, str(path))
    assert line_of(reader) == "ready"
    InstanceLock(path).acquire(me()).release()
    reader.communicate()


def test_lock_loads_without_the_database() -> None:
    script = "import sys, zave.state.lock; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(loaded.stdout.split())
    assert not modules & {"sqlite3", "pydantic", "yaml", "rich", "dataclasses"}
