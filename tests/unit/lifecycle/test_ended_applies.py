"""Which Terraforms of this machine are certainly over: those of earlier runs, while nothing runs any more."""

import fcntl
import getpass
import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zave.aws.state_lock import StateLock
from zave.clock import rfc3339
from zave.lifecycle.ended_applies import ended_terraforms
from zave.state.directory import InstanceFolder

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
OWN = "20261130T123000-aaaaaa"
EARLIER = "20261130T120000-bbbbbb"


def _at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def _lock(minutes: float, *, who: str | None = None) -> StateLock:
    mine = f"{getpass.getuser()}@{socket.gethostname()}"
    told = {"ID": "x", "Who": mine if who is None else who, "Created": rfc3339(_at(minutes))}
    return StateLock(json.dumps(told).encode(), None)


@pytest.fixture
def folder(tmp_path: Path) -> InstanceFolder:
    folder = InstanceFolder(tmp_path / "instances" / "demo")
    folder.prepare()
    return folder


def _run(folder: InstanceFolder, run: str, *minutes: float, end: str = "\n") -> None:
    lines = (json.dumps({"event": "resource", "real_at": rfc3339(_at(each))}) for each in minutes)
    folder.run_events(run).write_text("\n".join(lines) + end)


def test_what_a_killed_run_locked_is_over(folder: InstanceFolder) -> None:
    _run(folder, EARLIER, 0, 1, 4)
    ended = ended_terraforms(folder, own=OWN)
    # it locks within seconds of its start, which may be the last that its zave told
    assert [ended.held(_lock(each)) for each in (-1, 0, 2, 4.9, 6)] == [False, True, True, True, False]


def test_only_one_of_this_user_on_this_machine_is_over(folder: InstanceFolder) -> None:
    _run(folder, EARLIER, 0, 4)
    assert not ended_terraforms(folder, own=OWN).held(_lock(1, who="somebody@else"))


def test_what_this_run_locks_is_not_over(folder: InstanceFolder) -> None:
    _run(folder, OWN, 0, 4)
    assert not ended_terraforms(folder, own=OWN).held(_lock(1))


def test_while_anything_still_runs_nothing_is_over(folder: InstanceFolder) -> None:
    _run(folder, EARLIER, 0, 4)
    with folder.survivors.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        left = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[held.fileno()])
    with left:
        assert not ended_terraforms(folder, own=OWN).held(_lock(1))
    assert ended_terraforms(folder, own=OWN).held(_lock(1))


@pytest.mark.parametrize("end", ["", '\n{"event": "resour'], ids=["whole", "cut off"])
def test_a_last_line_that_was_cut_off_does_not_count(folder: InstanceFolder, end: str) -> None:
    _run(folder, EARLIER, 0, 1, 4, end=end)
    assert ended_terraforms(folder, own=OWN).held(_lock(1.5))


def test_a_file_that_tells_nothing_hides_no_other(folder: InstanceFolder) -> None:
    folder.run_events("20261130T121500-cccccc").write_bytes(b"\xff\x00")
    _run(folder, EARLIER, 0, 4)
    assert ended_terraforms(folder, own=OWN).held(_lock(1))
