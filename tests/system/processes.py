"""What runs on this machine, from /proc; a process that ends while it is looked at is left out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def command_lines() -> Iterator[str]:
    """The command line of every process, its words by blanks."""
    # no glob of `*/cmdline`: pathlib raises where a process ends between its listing and the look at it
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
