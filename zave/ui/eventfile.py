"""The events of a run, kept: one private file of JSON lines a run."""

import json
import os
from pathlib import Path

from zave.errors import StateError
from zave.events import Stamped


class EventFile:
    """A sink that appends to a file of mode 0600, line by line."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise StateError(
                f"the event file cannot be written: {error.strerror}",
                where=str(path),
                resolution="zave doctor shows what is wrong with the state directory",
            ) from error

    def emit(self, stamped: Stamped) -> None:
        """Write one event with one system call, so that a kill leaves whole lines."""
        line = json.dumps(stamped.to_document(), ensure_ascii=True, default=str) + "\n"
        os.write(self._descriptor, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def keep_newest(folder: Path, *, keep: int) -> list[Path]:
    """Remove all but the `keep` newest runs' entries of `folder`; names sort by time. What went."""
    import shutil

    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    gone = entries[: max(0, len(entries) - keep)]
    for entry in gone:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    return gone
