"""Knowing a file again: a digest that was once computed holds while the file was not touched."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from zave.errors import InterruptedRunError
from zave.render import write_private

_CHUNK = 4 * 1024 * 1024
_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True)
class Seal:
    """What `sha256` was computed of: size in bytes, time of change in nanoseconds, inode."""

    sha256: str
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path, sha256: str) -> Self:
        """The seal of a file whose digest is known. Raises OSError when it is not there."""
        status = path.stat()
        return cls(sha256, status.st_size, status.st_mtime_ns, status.st_ino)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The seal that `document` holds. Raises TypeError or ValueError for anything else."""
        seal = cls(**document)
        if type(seal.sha256) is not str or any(
            type(n) is not int for n in (seal.size, seal.mtime_ns, seal.inode)
        ):
            raise ValueError("that is no seal")
        return seal

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def fits(self, path: Path) -> bool:
        """Whether the file is untouched since; microseconds, whatever its size."""
        try:
            return Seal.of(path, self.sha256) == self
        except OSError:
            return False


def digests(path: Path, algorithms: Iterable[str], *, interrupted: Callable[[], bool]) -> dict[str, str]:
    """Several digests of a file, read once. Raises InterruptedRunError when the user stops zave."""
    states = {name: hashlib.new(name) for name in algorithms}
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            for state in states.values():
                state.update(chunk)
            if interrupted():
                raise InterruptedRunError(f"stopped while verifying {path.name}")
    return {name: state.hexdigest() for name, state in states.items()}


def read_document(path: Path) -> dict[str, Any] | None:
    """A small JSON object of zave's own; None when it is missing or damaged: it can be made again."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write it whole or not at all."""
    write_private(path, f"{json.dumps(document, indent=1, sort_keys=True)}\n".encode())
