"""Programs that outlived the zave that started them.

Every program holds a shared flock on its instance's survivors file (`Request.survivors`), and so
does all that it starts. Whoever can lock that file exclusively knows that none is left.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zave.clock import rfc3339
from zave.errors import StepFailedError
from zave.process import open_private, start_ticks

# how often a survivor's end is looked for, in seconds
_POLL = 0.05
# after SIGINT, SIGTERM and SIGKILL, in seconds: Terraform may wait this long for a resource
_INTERRUPT_GRACE = 60.0
_TERM_GRACE = 5.0
_KILL_GRACE = 5.0
# for providers whose Terraform is dead: nobody would record what they still finish
_ORPHAN_PATIENCE = 1.0
# processes of another user hold the lock, but their descriptors cannot be read
_TRIES = 20


@dataclass(frozen=True)
class Survivor:
    """A process left by an earlier zave. `started_at` is UTC; `command` is its program's name."""

    pid: int
    pgid: int
    started_at: datetime
    command: str

    @property
    def leads(self) -> bool:
        """Whether it is what zave started, and not something started by that."""
        return self.pid == self.pgid


@dataclass(frozen=True)
class Graces:
    """Seconds to wait after each signal before the next is sent."""

    interrupt: float = _INTERRUPT_GRACE
    terminate: float = _TERM_GRACE
    kill: float = _KILL_GRACE


def find(path: Path) -> list[Survivor]:
    """Who still holds the survivors file at `path`, this process excluded, the oldest first.

    Takes microseconds when there is none. Raises StepFailedError when someone holds the file whom
    this user may not see.
    """
    for _ in range(_TRIES):
        if _free(path):
            return []
        found = sorted(_holders(path), key=lambda survivor: (survivor.started_at, survivor.pid))
        if found or _held_by(os.getpid(), path.stat()):
            return found
        # it ended between the two looks, or its descriptors are being set up
        time.sleep(_POLL)
    raise StepFailedError(
        "a program that zave started earlier still runs, and may not be seen by this user",
        where=str(path),
        resolution=f"find it with `sudo fuser -v {path}`, end it, then run the same command again",
    )


def settle(
    path: Path, *, patience: float, say: Callable[[str], None], graces: Graces | None = None
) -> list[Survivor]:
    """Return once nothing holds the survivors file at `path`; tells who was there.

    Waits up to `patience` seconds, as Terraform may be finishing an apply, then interrupts, then
    kills. Raises StepFailedError when one cannot be ended.
    """
    met = find(path)
    if not met:
        return met
    graces = graces or Graces()
    say(f"waiting for {_names(met)}, left by an earlier zave, to finish")
    if _gone(path, met, patience):
        return met
    for action, send, grace in (
        ("interrupting", _interrupt, graces.interrupt),
        ("ending", _terminate, graces.terminate),
        ("killing", _kill, graces.kill),
    ):
        left = find(path)
        if left:
            say(f"{action} {_names(left)}")
            send(left)
        if _gone(path, left, grace):
            return met
    raise StepFailedError(
        f"{_names(find(path))} cannot be ended",
        where=str(path),
        details="left by an earlier zave; it may still change what this command would work on",
        resolution="end it by hand (or restart the machine), then run the same command again",
    )


def _free(path: Path) -> bool:
    try:
        descriptor = open_private(path, os.O_RDWR)
    except FileNotFoundError:
        # no folder yet: nothing was ever started
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _gone(path: Path, survivors: list[Survivor], seconds: float) -> bool:
    """Wait until nothing holds `path`, at most `seconds`; not for orphans of a program that ended."""
    deadline = time.monotonic() + seconds
    while not _free(path):
        now = time.monotonic()
        if not any(survivor.leads and _runs(survivor.pid) for survivor in survivors):
            deadline = min(deadline, now + _ORPHAN_PATIENCE)
        if now >= deadline:
            return False
        time.sleep(_POLL)
    return True


def _runs(pid: int) -> bool:
    # its descriptors go with its last breath: a zombie, which nobody may ever collect, runs no more
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


def _holders(path: Path) -> Iterator[Survivor]:
    wanted = path.stat()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _held_by(int(entry.name), wanted):
            # it may end at any moment
            with suppress(ProcessLookupError):
                yield _describe(int(entry.name))


def _held_by(pid: int, wanted: os.stat_result) -> bool:
    try:
        descriptors = os.scandir(f"/proc/{pid}/fd")
    except OSError:
        return False
    with descriptors:
        for descriptor in descriptors:
            # through the link: a renamed or replaced path would be another file. Any may vanish
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False


def _describe(pid: int) -> Survivor:
    ticks = start_ticks(pid)
    try:
        command = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        raise ProcessLookupError(f"no process {pid}") from None
    return Survivor(pid=pid, pgid=os.getpgid(pid), started_at=_moment(ticks), command=command)


def _moment(ticks: int) -> datetime:
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return datetime.fromtimestamp(booted + ticks / os.sysconf("SC_CLK_TCK"), UTC)


def _names(survivors: list[Survivor]) -> str:
    shown = [f"{one.command} (pid {one.pid}, since {rfc3339(one.started_at)})" for one in survivors[:3]]
    more = len(survivors) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _interrupt(survivors: list[Survivor]) -> None:
    # only what zave started, once: a provider that dies of SIGINT takes its results along
    leaders = [survivor for survivor in survivors if survivor.leads]
    for survivor in leaders:
        with suppress(ProcessLookupError):
            os.kill(survivor.pid, signal.SIGINT)
    if not leaders:
        _terminate(survivors)


def _terminate(survivors: list[Survivor]) -> None:
    _signal_groups(survivors, signal.SIGTERM)


def _kill(survivors: list[Survivor]) -> None:
    _signal_groups(survivors, signal.SIGKILL)


def _signal_groups(survivors: list[Survivor], number: signal.Signals) -> None:
    own = os.getpgrp()
    for survivor in survivors:
        with suppress(ProcessLookupError):
            if survivor.pgid == own:
                # never this zave's own group
                os.kill(survivor.pid, number)
    for pgid in {survivor.pgid for survivor in survivors} - {own}:
        with suppress(ProcessLookupError):
            os.killpg(pgid, number)
