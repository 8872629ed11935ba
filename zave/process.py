"""The one place that starts programs.

A child gets an argument list, its own session and process group, no stdin but what the request holds,
exactly the environment it was given, and files instead of pipes: when zave is killed, Terraform
finishes its apply and frees its lock instead of dying of SIGPIPE with the lock held. zave tails the file.

Every child, and whatever it starts, inherits a shared flock on `Request.survivors`, taken before
the fork: a later zave knows of a survivor even if this one died before it could record anything.
"""

import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zave.errors import InterruptedRunError, StepFailedError, ToolFailedError, ToolMissingError
from zave.ports import Outcome, Request
from zave.text import LineReader, mask_file, redact

# how often the log is looked at while the child runs; its end wakes zave at once
_POLL_MS = 25
# between SIGTERM and SIGKILL, and for what a program left behind in its group
_TERM_GRACE = 5.0
_LEFTOVER_GRACE = 2.0


@dataclass(frozen=True)
class Started:
    """A program that has just started; `pgid` equals `pid`.

    `start_ticks` (clock ticks since boot, field 22 of `/proc/PID/stat`) tells it from a later
    process with the same pid.
    """

    pid: int
    pgid: int
    start_ticks: int
    program: str


class ProcessRunner:
    """Runs programs to their end; safe to use from several threads at once.

    `on_start` is told of each child as soon as it runs. `interrupt` ends all of them and lets no
    other start.
    """

    def __init__(self, *, on_start: Callable[[Started], None] | None = None) -> None:
        self._on_start = on_start
        self._interrupted = False

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted

    def interrupt(self) -> None:
        """End every child: SIGINT once, then escalation. For signal handlers: takes no lock."""
        self._interrupted = True

    def run(self, request: Request, *, on_line: Callable[[str], None] | None = None) -> Outcome:
        """Run to the end. `exit_code` is negative when a signal ended the program.

        Raises ToolMissingError when it cannot be found or executed, InterruptedRunError when
        `interrupt` was called before it could start. A failure is an Outcome, not an exception.
        """
        if self._interrupted:
            raise InterruptedRunError(f"interrupted before {_name(request)} was started")
        starts = _sizes(request)
        with ExitStack() as files:
            child = _spawn(request)
            watch = _Watch(child, request, runner=self)
            files.callback(watch.close)
            tail = None
            try:
                if on_line is not None:
                    tail = _Tail(request, start=starts[request.log], on_line=on_line)
                    files.callback(tail.close)
                if self._on_start is not None:
                    self._on_start(_started(child, request))
                while not watch.ended(at_once=tail is not None and tail.behind):
                    if tail is not None:
                        tail.pass_on()
            except BaseException:
                # a bug in a callback, or Ctrl-C without a handler: never leave the child behind
                watch.finish_now()
                raise
            finally:
                exit_code = watch.reap()
                _mask(request, starts)
            seconds = time.monotonic() - watch.began
            if tail is not None:
                tail.finish()
        return Outcome(
            exit_code=exit_code,
            seconds=seconds,
            start=starts[request.log],
            timed_out=watch.timed_out,
            interrupted=watch.interrupted,
        )


class _Tail:
    """Hands the lines of a growing log to a callback, secrets masked."""

    def __init__(self, request: Request, *, start: int, on_line: Callable[[str], None]) -> None:
        self._reader = LineReader(request.log, start=start)
        self._secrets = request.secrets
        self._on_line = on_line

    @property
    def behind(self) -> bool:
        """Whether the log holds more than was read."""
        return self._reader.behind

    def pass_on(self) -> None:
        """Hand on the next lines."""
        self._each(self._reader.lines())

    def finish(self) -> None:
        """Hand on all that is left; the program has ended."""
        self.pass_on()
        while self.behind:
            self.pass_on()
        self._each(self._reader.last())

    def close(self) -> None:
        """Close the log."""
        self._reader.close()

    def _each(self, lines: Iterator[str]) -> None:
        for line in lines:
            self._on_line(redact(line, self._secrets) if self._secrets else line)


class _Watch:
    """Waits for one child and escalates: SIGINT to it, SIGTERM to its group, SIGKILL.

    A second SIGINT is never sent: it makes Terraform drop its state. Nor does the first go to the
    whole group: a provider that dies with it takes its results along.
    """

    def __init__(self, child: subprocess.Popen[bytes], request: Request, *, runner: ProcessRunner) -> None:
        self.began = time.monotonic()
        self.timed_out = False
        self.interrupted = False
        self._child = child
        self._request = request
        self._runner = runner
        self._stage: Literal["running", "interrupted", "terminated", "killed"] = "running"
        self._next = float("inf") if request.timeout is None else self.began + request.timeout
        self._pidfd = os.pidfd_open(child.pid)
        self._poll = select.poll()
        self._poll.register(self._pidfd, select.POLLIN)

    def ended(self, *, at_once: bool = False) -> bool:
        """Wait a little; whether the child has ended. It stays a zombie, so its pid stays its own."""
        if self._poll.poll(0 if at_once else _POLL_MS):
            return True
        if self._runner.interrupted and not self.interrupted:
            self.interrupted = True
            if self._stage == "running":
                self._escalate()
        elif time.monotonic() >= self._next:
            self.timed_out = self.timed_out or self._stage == "running"
            self._escalate()
        return False

    def finish_now(self) -> None:
        """End the child as an interruption would, and wait for it."""
        if self._stage == "running" and not self._poll.poll(0):
            self._escalate()
        while not self.ended():
            pass

    def reap(self) -> int:
        """The exit code. What the program left in its group is ended: it would hold the flock."""
        group = self._child.pid
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        try:
            exit_code = self._child.wait(_TERM_GRACE)
        except subprocess.TimeoutExpired:
            # only when `finish_now` was itself interrupted: it waits for the end otherwise
            os.killpg(group, signal.SIGKILL)
            exit_code = self._child.wait()
        deadline = time.monotonic() + _LEFTOVER_GRACE
        while _group_lives(group):
            if time.monotonic() >= deadline:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
                break
            time.sleep(0.01)
        return exit_code

    def close(self) -> None:
        """Close the descriptor on which the child's end is awaited."""
        os.close(self._pidfd)

    def _escalate(self) -> None:
        now = time.monotonic()
        if self._stage == "running":
            self._stage, self._next = "interrupted", now + self._request.interrupt_grace
            os.kill(self._child.pid, signal.SIGINT)
        elif self._stage == "interrupted":
            self._stage, self._next = "terminated", now + _TERM_GRACE
            os.killpg(self._child.pid, signal.SIGTERM)
        else:
            self._stage, self._next = "killed", now + _TERM_GRACE
            os.killpg(self._child.pid, signal.SIGKILL)


def start_ticks(pid: int) -> int:
    """When `pid` started, in clock ticks since boot. Raises ProcessLookupError when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"no process {pid}") from None
    # the name, field 2, may contain blanks and parentheses: count from its end
    return int(stat.rpartition(b")")[2].split()[19])


def open_private(path: Path, flags: int) -> int:
    """Open a file of zave's: made 0600 where it is new, never through a symlink, not inherited."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _name(request: Request) -> str:
    return Path(request.argv[0]).name


def _spawn(request: Request) -> subprocess.Popen[bytes]:
    with ExitStack() as files:

        def opened(path: Path, flags: int) -> int:
            try:
                descriptor = open_private(path, flags)
            except OSError as error:
                raise StepFailedError(
                    f"cannot write {path.name}: {error.strerror}",
                    where=str(path),
                    resolution="make the folder writable and free some space, then run it again",
                ) from error
            files.callback(os.close, descriptor)
            return descriptor

        stdout = opened(request.log, os.O_WRONLY | os.O_APPEND)
        stderr = stdout if request.errors is None else opened(request.errors, os.O_WRONLY | os.O_APPEND)
        held: tuple[int, ...] = ()
        if request.survivors is not None:
            held = (opened(request.survivors, os.O_RDWR),)
            # before the fork: the lock lives as long as any process that inherited it
            fcntl.flock(held[0], fcntl.LOCK_SH)
        stdin = _opened_input(request)
        files.callback(os.close, stdin)
        return _popen(request, streams=(stdin, stdout, stderr), held=held)


def _opened_input(request: Request) -> int:
    """A descriptor of what the child is to read."""
    if isinstance(request.input, bytes):
        descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(request.input)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
    source = request.input or Path(os.devnull)
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StepFailedError(f"cannot read {source.name}: {error.strerror}", where=str(source)) from error


def _popen(
    request: Request, *, streams: tuple[int, int, int], held: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    try:
        return subprocess.Popen(
            list(request.argv),
            cwd=request.cwd,
            env=dict(request.environment),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=held,
            # states, plans and kubeconfigs are made by children
            umask=0o077,
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if not request.cwd.is_dir():
            raise StepFailedError(f"the folder {request.cwd} is not there", where=str(request.cwd)) from error
        reason = "not found" if isinstance(error, FileNotFoundError) else "not executable"
        raise ToolMissingError(
            f"{_name(request)}: {reason}",
            where=request.argv[0],
            resolution="zave doctor shows what is needed and how to install it",
        ) from error
    except (OSError, ValueError) as error:
        raise ToolFailedError(
            f"{_name(request)} could not be started: {error}", where=request.argv[0]
        ) from error


def _started(child: subprocess.Popen[bytes], request: Request) -> Started:
    return Started(pid=child.pid, pgid=child.pid, start_ticks=start_ticks(child.pid), program=request.argv[0])


def _group_lives(pgid: int) -> bool:
    """Whether the group has a member that runs; in a container nobody may collect its zombies."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _parent, group = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:3]
                if int(group) == pgid and state not in b"ZX":
                    return True
    return False


def _sizes(request: Request) -> dict[Path, int]:
    """Where this run's output begins in each of its files."""
    sizes = {}
    for path in {request.log, request.errors or request.log}:
        try:
            sizes[path] = path.stat().st_size
        except FileNotFoundError:
            sizes[path] = 0
    return sizes


def _mask(request: Request, starts: dict[Path, int]) -> None:
    """Overwrite secrets in what the child wrote: it wrote to the files itself, past any filter."""
    for path, start in starts.items():
        mask_file(path, request.secrets, start=start)
