"""Programs of a killed zave are found without any record, waited for, and ended if need be."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zave.errors import StepFailedError
from zave.ports import Request
from zave.process import ProcessRunner
from zave.survivors import Graces, find, settle

QUICK = Graces(interrupt=0.3, terminate=0.3, kill=5.0)


class Orphanage:
    """Starts programs through a zave that is killed at once."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "survivors"
        self.log = folder / "log"
        self.groups: list[int] = []

    def leave(self, script: str) -> int:
        """Run a Python `script` in a zave, kill that zave once the script said `ready`; its pid."""
        zave = f"""
            import sys
            from pathlib import Path
            from zave.ports import Request
            from zave.process import ProcessRunner
            log = Path({str(self.log)!r})
            ProcessRunner(on_start=lambda started: print(started.pid, flush=True)).run(Request(
                argv=(sys.executable, "-I", "-c", {textwrap.dedent(script)!r}), cwd=log.parent, log=log,
                environment={{"PATH": "/usr/bin:/bin"}}, survivors=Path({str(self.file)!r})))
        """
        command = [sys.executable, "-c", textwrap.dedent(zave)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            self.groups.append(pid)
            wait_for(lambda: "ready" in self.log.read_text())
            parent.kill()
        return pid

    def close(self) -> None:
        for group in self.groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_for(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def orphanage(tmp_path: Path) -> Iterator[Orphanage]:
    made = Orphanage(tmp_path)
    yield made
    made.close()


def test_no_file_and_no_folder_mean_no_survivor(tmp_path: Path) -> None:
    assert find(tmp_path / "survivors") == []
    assert find(tmp_path / "no" / "folder") == []


def test_a_program_that_ended_is_no_survivor(tmp_path: Path) -> None:
    file = tmp_path / "survivors"
    ProcessRunner().run(Request(argv=("/bin/true",), cwd=tmp_path, log=tmp_path / "log", survivors=file))

    assert file.exists()
    assert find(file) == []


def test_a_running_program_holds_the_file_and_its_zave_does_not(tmp_path: Path) -> None:
    file = tmp_path / "survivors"
    seen: list[list[int]] = []
    pids: list[int] = []

    ProcessRunner(on_start=lambda started: pids.append(started.pid)).run(
        Request(
            argv=("/bin/sh", "-c", "echo ready; sleep 0.3"),
            cwd=tmp_path,
            log=tmp_path / "log",
            environment={"PATH": "/usr/bin:/bin"},
            survivors=file,
        ),
        on_line=lambda _: seen.append([survivor.pid for survivor in find(file)]),
    )

    assert pids[0] in seen[0]
    assert os.getpid() not in seen[0]


def test_a_survivor_is_described(orphanage: Orphanage) -> None:
    pid = orphanage.leave("import time; print('ready', flush=True); time.sleep(60)")

    (survivor,) = find(orphanage.file)

    assert (survivor.pid, survivor.pgid, survivor.leads) == (pid, pid, True)
    assert survivor.command.startswith("python")
    assert abs((datetime.now(UTC) - survivor.started_at).total_seconds()) < 30


def test_what_a_survivor_started_is_a_survivor_too(orphanage: Orphanage) -> None:
    # as Terraform's plugins do: another process, even in a session of its own
    pid = orphanage.leave(
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            print("ready", flush=True)
        time.sleep(60)
        """
    )
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: pid not in [survivor.pid for survivor in find(orphanage.file)])

    (left,) = find(orphanage.file)
    orphanage.groups.append(left.pid)

    assert left.pid != pid


def test_settle_waits_for_a_survivor_that_finishes(orphanage: Orphanage) -> None:
    orphanage.leave("import time; print('ready', flush=True); time.sleep(0.5); print('finished', flush=True)")
    said: list[str] = []

    met = settle(orphanage.file, patience=20, say=said.append)

    assert "finished" in orphanage.log.read_text()
    assert len(met) == 1
    assert len(said) == 1
    assert f"pid {met[0].pid}" in said[0]


def test_settle_is_silent_when_there_is_nobody(tmp_path: Path) -> None:
    said: list[str] = []

    assert settle(tmp_path / "survivors", patience=0, say=said.append) == []
    assert said == []


def test_a_survivor_that_takes_too_long_is_interrupted_once(orphanage: Orphanage) -> None:
    orphanage.leave(
        """
        import signal, sys, time
        def stop(*_):
            print("interrupted", flush=True)
            time.sleep(0.3)
            sys.exit()
        signal.signal(signal.SIGINT, stop)
        print("ready", flush=True)
        time.sleep(60)
        """
    )

    settle(orphanage.file, patience=0, say=lambda _: None)

    assert orphanage.log.read_text().split() == ["ready", "interrupted"]
    assert find(orphanage.file) == []


def test_a_survivor_that_ignores_signals_is_killed_with_its_group(orphanage: Orphanage) -> None:
    orphanage.leave(
        """
        import os, signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    said: list[str] = []

    settle(orphanage.file, patience=0, say=said.append, graces=QUICK)

    assert find(orphanage.file) == []
    assert [line.split()[0] for line in said] == ["waiting", "interrupting", "ending", "killing"]


def test_orphans_without_their_leader_are_not_waited_for_long(orphanage: Orphanage) -> None:
    pid = orphanage.leave("import os, time; os.fork() or print('ready', flush=True); time.sleep(60)")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: all(not survivor.leads for survivor in find(orphanage.file)))
    began = time.monotonic()

    settle(orphanage.file, patience=600, say=lambda _: None)

    assert time.monotonic() - began < 30
    assert find(orphanage.file) == []


def test_a_survivor_that_cannot_be_ended_is_an_error(
    orphanage: Orphanage, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphanage.leave("import time; print('ready', flush=True); time.sleep(60)")
    # as a program in an uninterruptible wait: no signal has any effect
    monkeypatch.setattr("zave.survivors.os.kill", lambda *_: None)
    monkeypatch.setattr("zave.survivors.os.killpg", lambda *_: None)

    with pytest.raises(StepFailedError, match="cannot be ended"):
        settle(orphanage.file, patience=0, say=lambda _: None, graces=Graces(0.05, 0.05, 0.05))

    monkeypatch.undo()
