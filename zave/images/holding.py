"""One zave at a time works on an image; the others wait and then find it made."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from zave.clock import Clock
from zave.errors import InterruptedRunError
from zave.ports.machines import Say
from zave.state.lock import open_lock_file, try_flock

_POLL = 0.2


@contextlib.contextmanager
def held(path: Path, *, clock: Clock, interrupted: Callable[[], bool], say: Say) -> Iterator[None]:
    """Hold the flock on `path` around the body, waiting for whoever holds it.

    The kernel frees it when its holder ends, however it ends. Raises InterruptedRunError when the
    user stops zave while it waits.
    """
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
