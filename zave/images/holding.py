"""One zave at a time works on an image; the others wait and then find it made."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from zave.clock import Clock
from zave.errors import InterruptedRunError, PreconditionError
from zave.ports.machines import Say
from zave.state.lock import open_lock_file, try_flock
from zave.tools.download import WHY_FULL

_POLL = 0.2


@contextlib.contextmanager
def held(path: Path, *, clock: Clock, interrupted: Callable[[], bool], say: Say) -> Iterator[None]:
    """Hold the flock on `path` around the body, waiting for whoever holds it.

    The kernel frees it when its holder ends, however it ends. Raises InterruptedRunError when the
    user stops zave while it waits.
    """
    with kept_below(path.parent, "a lock"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = open_lock_file(path)
    try:
        if not try_flock(descriptor, fcntl.LOCK_EX):
            say(f"another zave works on {path.stem}: waiting for it", None)
        while not try_flock(descriptor, fcntl.LOCK_EX):
            if interrupted():
                raise InterruptedRunError(f"stopped while waiting for another zave's {path.stem}")
            clock.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def free(path: Path) -> Iterator[bool]:
    """Hold the flock on `path` around the body if nobody else does; whether it is held."""
    with kept_below(path.parent, "a lock"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = open_lock_file(path)
    try:
        yield try_flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def kept_below(folder: Path, what: str) -> Iterator[None]:
    """The body writes `what` into `folder`. What the disk refuses is told as what is to be done about it."""
    try:
        yield
    except OSError as error:
        raise PreconditionError(
            f"{what} cannot be kept: {WHY_FULL.get(error.errno or 0, error.strerror or str(error))}",
            where=str(folder),
            resolution="free some space (zave build-image --prune removes old images) and make the folder "
            "writable, then run it again",
        ) from error
