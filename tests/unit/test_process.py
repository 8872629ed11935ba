"""Programs: real children, real signals, real files."""

import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError, StepFailedError, ToolMissingError
from zave.ports import Outcome, Request
from zave.process import ProcessRunner, Started, start_ticks


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "step.log"


def shell(script: str, log: Path, **more: object) -> Request:
    return python(f"import os; os.execv('/bin/sh', ['sh', '-c', {script!r}])", log, **more)


def python(script: str, log: Path, **more: object) -> Request:
    fields = {"environment": {"PATH": os.environ["PATH"]}, "interrupt_grace": 5.0, **more}
    argv = (sys.executable, "-I", "-c", textwrap.dedent(script))
    return Request(argv=argv, cwd=log.parent, log=log, **fields)  # type: ignore[arg-type]


def run_until(
    said: str, request: Request, act: Callable[[ProcessRunner], None], runner: ProcessRunner | None = None
) -> Outcome:
    """Run `request`; once it has said `said`, do `act`."""
    runner = runner or ProcessRunner()

    def on_line(line: str) -> None:
        if line == said:
            act(runner)

    return runner.run(request, on_line=on_line)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


def test_lines_arrive_while_the_program_runs(log: Path) -> None:
    marker = log.with_name("seen")

    outcome = run_until(
        "ready",
        shell(
            f"echo ready; while [ ! -e {marker} ]; do sleep 0.01; done; echo done; exit 3", log, timeout=20
        ),
        lambda _: marker.touch(),
    )

    assert outcome.exit_code == 3
    assert log.read_text() == "ready\ndone\n"


def test_a_program_without_input_reads_nothing(log: Path) -> None:
    assert ProcessRunner().run(shell("cat", log)).exit_code == 0
    assert log.read_bytes() == b""


def test_a_program_reads_the_bytes_that_the_request_holds(log: Path) -> None:
    secret = b"s3cret\n" * 50_000
    request = shell("wc -c; ls -l /proc/self/fd/0", log, input=secret)
    ProcessRunner().run(request)
    assert log.read_text().splitlines()[0] == str(len(secret))
    # in memory, so that nothing of it is left when zave is killed
    assert "memfd:input" in log.read_text()
    assert "s3cret" not in repr(request)


def test_a_program_reads_a_file(log: Path) -> None:
    source = log.with_name("source")
    source.write_text("what the file says\n")
    ProcessRunner().run(shell("cat", log, input=source))
    assert log.read_text() == "what the file says\n"


def test_an_input_that_cannot_be_read_is_named(log: Path) -> None:
    with pytest.raises(StepFailedError, match="cannot read nothing-there"):
        ProcessRunner().run(shell("cat", log, input=log.with_name("nothing-there")))


def test_output_is_appended_and_start_tells_where(log: Path) -> None:
    log.write_text("earlier\n")
    seen: list[str] = []

    outcome = ProcessRunner().run(shell("echo out; echo err >&2", log), on_line=seen.append)

    assert outcome.start == len("earlier\n")
    assert sorted(seen) == ["err", "out"]
    assert log.read_text().startswith("earlier\n")


def test_errors_go_to_their_own_file_when_one_is_given(log: Path) -> None:
    errors = log.with_name("errors.log")

    ProcessRunner().run(shell("echo out; echo err >&2", log, errors=errors))

    assert (log.read_text(), errors.read_text()) == ("out\n", "err\n")


def test_files_are_readable_by_the_owner_only(log: Path) -> None:
    made = log.with_name("made-by-child")

    ProcessRunner().run(shell(f"echo x > {made}", log, survivors=log.with_name("survivors")))

    for path in (log, made, log.with_name("survivors")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_that_is_a_symlink_is_refused(log: Path) -> None:
    log.symlink_to(log.with_name("elsewhere"))

    with pytest.raises(StepFailedError, match=re.escape("cannot write step.log")):
        ProcessRunner().run(shell("echo x", log))

    assert not log.with_name("elsewhere").exists()


def test_the_child_gets_exactly_its_environment_and_no_stdin(log: Path) -> None:
    request = python(
        "import os, sys; print(sorted(os.environ), sys.stdin.read() == '')", log, environment={"A": "1"}
    )

    ProcessRunner().run(request)

    assert eval(log.read_text().partition("]")[0] + "]") in (["A"], ["A", "LC_CTYPE"])
    assert log.read_text().endswith("True\n")


def test_arguments_reach_the_program_literally(log: Path) -> None:
    argument = "$(touch pwned); `id` ' \" \n *"
    request = Request(argv=("printf", "%s", argument), cwd=log.parent, log=log, environment=dict(os.environ))

    ProcessRunner().run(request)

    assert log.read_text() == argument


def test_a_program_that_is_not_there_is_a_missing_tool(log: Path) -> None:
    request = Request(argv=("no-such-program",), cwd=log.parent, log=log, environment={"PATH": "/usr/bin"})

    with pytest.raises(ToolMissingError, match="no-such-program: not found") as caught:
        ProcessRunner().run(request)

    assert caught.value.resolution is not None


def test_a_file_that_may_not_be_executed_is_a_missing_tool(log: Path) -> None:
    program = log.with_name("program")
    program.write_text("#!/bin/sh\n")

    with pytest.raises(ToolMissingError, match="not executable"):
        ProcessRunner().run(Request(argv=(str(program),), cwd=log.parent, log=log))


def test_a_missing_folder_is_not_taken_for_a_missing_program(log: Path) -> None:
    with pytest.raises(StepFailedError, match=r"folder .* is not there"):
        ProcessRunner().run(Request(argv=("/bin/true",), cwd=log.parent / "gone", log=log))


def test_a_signal_that_ended_the_program_shows_in_the_exit_code(log: Path) -> None:
    assert ProcessRunner().run(shell("kill -9 $$", log)).exit_code == -signal.SIGKILL


def test_the_child_leads_its_own_session_and_group(log: Path) -> None:
    started: list[Started] = []

    ProcessRunner(on_start=started.append).run(
        python("import os; print(os.getpid(), os.getpgid(0), os.getsid(0))", log)
    )

    assert log.read_text().split() == [str(started[0].pid)] * 3
    assert started[0].pgid == started[0].pid
    assert started[0].start_ticks >= start_ticks(os.getpid())


def test_a_time_limit_interrupts_and_says_so(log: Path) -> None:
    outcome = ProcessRunner().run(
        shell("trap 'echo stopped; exit 9' INT; while :; do sleep 0.01; done", log, timeout=0.3)
    )

    assert (outcome.timed_out, outcome.interrupted, outcome.exit_code) == (True, False, 9)
    assert log.read_text() == "stopped\n"


def interrupt_twice(runner: ProcessRunner) -> None:
    runner.interrupt()
    runner.interrupt()


def test_an_interruption_sends_one_sigint_to_the_leader_alone(log: Path) -> None:
    script = """
        import os, signal, sys, time
        child = os.fork()
        def caught(*_):
            print("sigint", "child" if child == 0 else "leader", flush=True)
        signal.signal(signal.SIGINT, caught)
        if child == 0:
            time.sleep(30)
        print("ready", flush=True)
        time.sleep(1)
        sys.exit(5)
    """

    outcome = run_until("ready", python(script, log), interrupt_twice)

    assert (outcome.interrupted, outcome.exit_code) == (True, 5)
    assert log.read_text() == "ready\nsigint leader\n"


def test_a_program_that_ignores_interruption_is_terminated_and_then_killed(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zave.process._TERM_GRACE", 0.3)
    script = """
        import os, signal, time
        signal.signal(signal.SIGINT, lambda *_: print("INT", flush=True))
        signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
        print("ready", flush=True)
        while True:
            time.sleep(1)
    """

    outcome = run_until("ready", python(script, log, interrupt_grace=0.3), ProcessRunner.interrupt)

    assert outcome.exit_code == -signal.SIGKILL
    assert log.read_text().split() == ["ready", "INT", "TERM"]


def test_nothing_starts_after_an_interruption(log: Path) -> None:
    runner = ProcessRunner()
    runner.interrupt()

    with pytest.raises(InterruptedRunError):
        runner.run(shell("echo x", log))

    assert not log.exists()


def test_an_interruption_reaches_every_program_that_runs(tmp_path: Path) -> None:
    runner = ProcessRunner()
    outcomes: list[Outcome] = []
    ready = threading.Barrier(3)

    def wait_for_all(_: ProcessRunner) -> None:
        ready.wait(10)

    def work(number: int) -> None:
        request = shell("echo ready; exec sleep 30", tmp_path / f"{number}.log")
        outcomes.append(run_until("ready", request, wait_for_all, runner))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    runner.interrupt()
    for thread in threads:
        thread.join(20)

    assert [(o.interrupted, o.exit_code) for o in outcomes] == [(True, -signal.SIGINT)] * 2


def test_what_a_program_leaves_in_its_group_is_ended(log: Path) -> None:
    ProcessRunner().run(shell("sleep 60 & echo $!", log))

    assert not alive(int(log.read_text()))


def test_a_failing_callback_leaves_no_child_behind(log: Path) -> None:
    def fail(_: str) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        ProcessRunner().run(shell("echo $$; exec sleep 60", log), on_line=fail)

    assert not alive(int(log.read_text()))


def test_a_child_whose_start_cannot_be_recorded_is_ended(log: Path) -> None:
    pids: list[int] = []

    def fail(started: Started) -> None:
        pids.append(started.pid)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ProcessRunner(on_start=fail).run(shell("sleep 60", log))

    assert not alive(pids[0])


def test_a_secret_is_masked_in_lines_and_in_the_log(log: Path) -> None:
    seen: list[str] = []

    ProcessRunner().run(shell("echo token=hunter2", log, secrets=frozenset({"hunter2"})), on_line=seen.append)

    assert seen in (["token=***"], ["token=*******"])
    assert log.read_text() == "token=*******\n"


def test_the_child_finishes_when_zave_is_killed(log: Path) -> None:
    zave = f"""
        import sys
        from pathlib import Path
        from zave.ports import Request
        from zave.process import ProcessRunner
        log = Path({str(log)!r})
        script = "echo $$; sleep 0.5; echo finished"
        ProcessRunner().run(Request(argv=("/bin/sh", "-c", script), cwd=log.parent, log=log,
                                    environment={{"PATH": "/bin:/usr/bin"}}))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(zave)]) as parent:
        deadline = time.monotonic() + 20
        while not (log.exists() and log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        parent.kill()
    while "finished" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)

    assert log.read_text().split()[1:] == ["finished"]


def test_a_flood_of_output_is_read_in_little_memory(tmp_path: Path) -> None:
    """1 GB of lines, a 10 MB line, bytes that are no UTF-8, escape sequences: under 200 MB."""
    zave = f"""
        import resource
        from pathlib import Path
        from zave.ports import Request
        from zave.process import ProcessRunner
        folder = Path({str(tmp_path)!r})
        flood = '''
        import sys
        out = sys.stdout.buffer
        block = (b"x" * 16383 + b"\\\\n") * 64
        for _ in range(1024):
            out.write(block)
        out.write(b"y" * 10_000_000 + b"\\\\n")
        out.write(b"\\\\xff\\\\xfe\\\\x1b[2J\\\\n" + b"last\\\\n")
        '''
        import textwrap, sys
        count = size = 0
        longest = 0
        last = ""
        def on_line(line):
            global count, longest, last
            count += 1
            longest = max(longest, len(line))
            last = line
        outcome = ProcessRunner().run(
            Request(argv=(sys.executable, "-c", textwrap.dedent(flood)), cwd=folder, log=folder / "log"),
            on_line=on_line)
        (folder / "log").unlink()
        # not ru_maxrss, which counts the process that was forked as well
        peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) // 1024
        print(outcome.exit_code, count, longest < 300_000, last, peak)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(zave)], capture_output=True, text=True, timeout=120, check=True
    )

    exit_code, count, bounded, last, peak = done.stdout.split()

    assert (exit_code, count, bounded, last) == ("0", str(64 * 1024 + 3), "True", "last")
    assert int(peak) < 200
