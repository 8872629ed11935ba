"""The rehearsed state bucket: a folder of the world, written as durably as S3 would.

Terraform's own backend is pointed at the same folder, so a rehearsed state is an object as well.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from zave.errors import StepFailedError, UsageError
from zave.ports.cloud import StoredObject
from zave.rehearsal.world import World

FOLDER = "bucket"
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._:=@+-]*"
_KEY = re.compile(rf"{_PART}(?:/{_PART}){{0,15}}")
_LONGEST_KEY = 512
# what Terraform's local backend keeps beside a state, and S3's would not
_LOCAL_ONLY = ".backup"


class SimulatedBucket:
    """Implements `zave.ports.cloud.Bucket` over a folder (0700, files 0600).

    `ask` is called before each call of S3's API and raises when it cannot be reached.
    """

    def __init__(self, world: World, *, name: str, ask: Callable[[str], None]) -> None:
        self._world = world
        self._name = name
        self._ask = ask
        self._root = bucket_folder(world)

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self._name

    def get(self, key: str) -> bytes | None:
        """The newest version; None when there is none."""
        self._ask("GetObject")
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        """Write an object, durably. False when `only_if_absent` and it was there."""
        self._ask("PutObject")
        path = self._path(key)
        written = write_object(path, content, at=self._world.clock.timestamp(), only_if_absent=only_if_absent)
        if written:
            self._world.note("put", "aws_s3_object", key)
        return written

    def put_file(self, key: str, path: Path) -> None:
        """Write a file, durably. What a rehearsal puts there is small."""
        self.put(key, path.read_bytes())

    def delete(self, key: str) -> None:
        """Delete; absent is fine."""
        self._ask("DeleteObject")
        with suppress(FileNotFoundError, NotADirectoryError):
            self._path(key).unlink()
            self._world.note("delete", "aws_s3_object", key)

    def list(self, prefix: str) -> Sequence[StoredObject]:
        """Objects by key. What Terraform wrote itself bears the machine's time, the rest the world's."""
        self._ask("ListObjectsV2")
        return [found for found in self._objects() if found.key.startswith(prefix)]

    def _objects(self) -> Iterator[StoredObject]:
        for key in stored_keys(self._root):
            with suppress(FileNotFoundError):
                stat = (self._root / key).stat()
                yield StoredObject(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    def _path(self, key: str) -> Path:
        if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key):
            raise UsageError(
                f"{key[:80]!r} is no key of an object that zave writes",
                where=self._name,
                resolution="keys are words of letters, digits and ._:=@+- between slashes",
            )
        return self._root / key


def bucket_folder(world: World) -> Path:
    """The folder that is the bucket; also Terraform's local backend writes into it."""
    return world.folder / FOLDER


def stored_keys(root: Path) -> Sequence[str]:
    """The keys of all objects in a bucket's folder, sorted."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and not name.endswith(_LOCAL_ONLY):
                found.append((Path(folder) / name).relative_to(root).as_posix())
    return sorted(found)


def write_object(path: Path, content: bytes, *, at: float, only_if_absent: bool = False) -> bool:
    """Write a file that is there whole or not at all; `at` is the virtual moment that it bears."""
    _make_folders(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.utime(draft, (at, at))
        if only_if_absent:
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        else:
            draft.replace(path)
    except OSError as error:
        raise StepFailedError(
            f"the simulated bucket cannot be written: {error.strerror}",
            where=str(path),
            resolution="free some space and make the folder writable, then run the same command again",
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return True


def _make_folders(folder: Path) -> None:
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
