"""The lock of an instance: one run at a time changes it.

An flock on `instances/<name>/lock`. The kernel frees it when its holder ends, however it ends; the
file stays, and what stands in it means something only while the lock is held.
"""

import errno
import fcntl
import json
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from zave.clock import rfc3339
from zave.errors import LockedError, StateError

# how long a fresh holder may take to write who it is before it counts as unknown
_INTRODUCTION_SECONDS = 1.0
# how long readers, who hold the lock for microseconds, may keep a run from starting
_READERS_SECONDS = 5.0
_HOLDER_BYTES = 65_536


class Holder(NamedTuple):
    """Who holds a lock; `since` is RFC 3339 UTC, `run_id` is empty as long as no run has begun.

    pid 0 stands for a holder that has not said who it is.

    A tuple, because importing dataclasses would double the time this module takes to load.
    """

    pid: int = 0
    command: str = "unknown"
    run_id: str = ""
    since: str = ""
    host: str = ""

    @classmethod
    def here(cls, *, command: str, run_id: str, since: datetime) -> Self:
        """A holder that is this process. `command` must carry no secret: other processes show it."""
        host = os.uname().nodename
        return cls(pid=os.getpid(), command=command, run_id=run_id, since=rfc3339(since), host=host)


def open_lock_file(path: Path, *, create: bool = True) -> int:
    """A descriptor for flock on `path` that no child inherits. Follows no symlink."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    return os.open(path, flags, 0o600)


def unwritable(path: Path, why: str) -> StateError:
    """The error for a state directory that takes nothing; `why` as the system says it."""
    return StateError(
        f"the state directory cannot be written: {why}",
        where=str(path),
        resolution="make it writable, or set ZAVE_STATE_DIR to a folder of your own",
    )


def try_flock(descriptor: int, operation: int) -> bool:
    """Take the lock without waiting; False when another open file holds it."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class InstanceLock:
    """The lock at `path` (`instances/<name>/lock`).

    with InstanceLock(folder.lock).acquire(Holder.here(...)): ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, holder: Holder) -> Self:
        """Take the lock for `holder`. Raises LockedError, naming its holder, when it is taken."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = open_lock_file(self.path)
        except OSError as error:
            raise unwritable(self.path, str(error.strerror)) from error
        try:
            if not _take(descriptor):
                raise _locked(self.path, _introduction(descriptor, patience=_INTRODUCTION_SECONDS))
            _write(descriptor, json.dumps(holder._asdict()).encode())
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two runs hold 'the' lock."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def holder(path: Path, *, patience: float = _INTRODUCTION_SECONDS) -> Holder | None:
    """Who holds the lock at `path` now, None when nobody does. Disturbs no run that wants it.

    A holder that does not say who it is within `patience` seconds is `Holder()`.
    """
    try:
        descriptor = open_lock_file(path, create=False)
    except FileNotFoundError:
        return None
    try:
        # shared: `_take` tells such readers from a holder and waits them out
        if try_flock(descriptor, fcntl.LOCK_SH):
            return None
        return _introduction(descriptor, patience=patience)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take the lock exclusively; False when a run holds it. Readers do not count."""
    deadline = time.monotonic() + _READERS_SECONDS
    while not try_flock(descriptor, fcntl.LOCK_EX):
        if not try_flock(descriptor, fcntl.LOCK_SH) or time.monotonic() > deadline:
            return False
        # what refused us was a reader, a rival at this same test, or a run that has just ended
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep((1 + os.urandom(1)[0] % 16) / 4000)  # 0.25 to 4 ms, so that rivals part
    return True


def _introduction(descriptor: int, *, patience: float) -> Holder:
    """Who holds the lock, as soon as it has said so; after `patience`, the unknown holder."""
    deadline = time.monotonic() + patience
    while True:
        found = _parse(os.pread(descriptor, _HOLDER_BYTES, 0))
        # a dead one is the holder before this one, killed before it could clear the file
        if found is not None and _may_live(found):
            return found
        if time.monotonic() > deadline:
            return Holder()
        time.sleep(0.01)


def _parse(content: bytes) -> Holder | None:
    """The holder in a lock file; None when it is empty, half written or damaged."""
    try:
        document = json.loads(content)
        pid = int(document["pid"])
        words = {key: str(document[key])[:500] for key in ("command", "run_id", "since", "host")}
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    return Holder(pid=pid, **words) if pid > 0 else None


def _may_live(found: Holder) -> bool:
    """Whether the process exists, as far as this host can tell."""
    if found.host != os.uname().nodename:
        return True
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError) as error:
        return isinstance(error, OSError) and error.errno == errno.EPERM
    return True


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _locked(path: Path, found: Holder) -> LockedError:
    instance = path.parent.name
    if found.pid:
        run = f", run {found.run_id}" if found.run_id else ""
        details = f"pid {found.pid} on {found.host}: {found.command}{run}, since {found.since}"
    else:
        details = "the other run has not said who it is"
    return LockedError(
        f"{instance} is being changed by another run",
        details=details,
        where=str(path),
        resolution="wait until it has ended, or interrupt it (Ctrl-C in its terminal), then try again",
    )
