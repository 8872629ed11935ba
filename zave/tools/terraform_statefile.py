"""Terraform's local state as a file: reading it with suspicion, writing it so that it lasts."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from zave.tools.terraform_plan import HeldResource

STATE_FILE = "terraform.tfstate"
LOCK_FILE = ".terraform.tfstate.lock.info"

# the only version that Terraform has written since 0.12
_VERSION = 4
# a state is read whole; 67 AWS resources take about 1 MB
_LIMIT = 256 * 1024 * 1024

Trouble = Literal["absent", "empty", "unreadable"]


class StateFileError(Exception):
    """A state file cannot be used: `trouble` says how, the message why."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble


@dataclass(frozen=True)
class StateFile:
    """A state that was read and is whole. `resources` are the managed objects in it."""

    path: Path
    lineage: str
    serial: int
    resources: tuple[HeldResource, ...]
    sha256: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class LocalLock:
    """What `.terraform.tfstate.lock.info` says of who locked the state.

    `held` is whether anyone holds the lock now. After a kill -9 the file stays and says nothing:
    the lock itself is the kernel's and died with its holder, so Terraform goes on.
    """

    path: Path
    held: bool
    id: str
    operation: str
    who: str
    created: str

    def describe(self) -> str:
        """One line for people."""
        state = "holds the state's lock" if self.held else "is gone; its lock was left and is harmless"
        return f"{self.operation or 'an operation'} by {self.who or 'someone'} since {self.created} {state}"


def read_state(path: Path) -> StateFile:
    """The state at `path`. Raises StateFileError unless it is a whole state of version 4."""
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT + 1)
    except FileNotFoundError:
        raise StateFileError("absent", f"{path.name} is not there") from None
    except OSError as error:
        raise StateFileError("unreadable", f"{path.name} cannot be read: {error.strerror}") from error
    if not content.strip(b" \t\r\n\0"):
        raise StateFileError("empty", f"{path.name} is empty ({len(content)} bytes)")
    try:
        return _parsed(path, content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateFileError("unreadable", f"{path.name} is damaged: {_reason(error)}") from error


def write_durably(path: Path, content: bytes) -> None:
    """Put `content` at `path` (0600) so that a crash or power cut leaves the old file or the new."""
    descriptor, name = tempfile.mkstemp(prefix=".zave-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        # an interruption too: it goes on, and no half-written copy of a state is left behind
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def keep_aside(path: Path, folder: Path) -> Path:
    """Copy `path` into `folder` (made 0700) as evidence; the copy's path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / path.name
    shutil.copyfile(path, kept, follow_symlinks=False)
    kept.chmod(0o600, follow_symlinks=True)
    with kept.open("rb") as file:
        os.fsync(file.fileno())
    _sync_folder(folder)
    return kept


def read_lock(root: Path) -> LocalLock | None:
    """Who locked the state in `root`, or left a lock there; None when nobody did."""
    path = root / LOCK_FILE
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        # cut off while it was written
        document = {}
    if not isinstance(document, dict):
        document = {}
    return LocalLock(
        path=path,
        held=_is_locked(root / STATE_FILE),
        id=str(document.get("ID", "")),
        operation=str(document.get("Operation", "")),
        who=str(document.get("Who", "")),
        created=str(document.get("Created", "an unknown time")),
    )


def _is_locked(state: Path) -> bool:
    """Whether a Terraform holds its POSIX lock on the state file."""
    try:
        with state.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _parsed(path: Path, content: bytes) -> StateFile:
    if len(content) > _LIMIT:
        raise ValueError("larger than any state")
    document: Any = json.loads(content)
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError(f"not a Terraform state of version {_VERSION}")
    lineage, serial = document["lineage"], document["serial"]
    if not isinstance(lineage, str) or not lineage or not isinstance(serial, int) or serial < 0:
        raise ValueError("no lineage or serial")
    return StateFile(
        path=path,
        lineage=lineage,
        serial=serial,
        resources=tuple(_resources(document["resources"])),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
    )


def _resources(entries: list[dict[str, Any]]) -> Iterator[HeldResource]:
    for entry in entries:
        if entry["mode"] != "managed":
            continue
        base = f"{entry['type']}.{entry['name']}"
        if module := entry.get("module"):
            base = f"{module}.{base}"
        for instance in entry["instances"]:
            # a deposed object is still there, beside the one that replaces it
            values = instance.get("attributes") or {}
            identity = values.get("id")
            yield HeldResource(
                address=base + _key(instance.get("index_key")),
                type=str(entry["type"]),
                name=str(entry["name"]),
                id=None if identity is None else str(identity),
                values=values,
            )


def _key(key: object) -> str:
    if key is None:
        return ""
    return f"[{key}]" if isinstance(key, int) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON at line {error.lineno}"
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) or type(error).__name__


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
