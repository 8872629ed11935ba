"""Large archives that are equal where their files are: written as a stream, each file with its digest."""

import gzip
import hashlib
import os
import tarfile
import tempfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from zave.aws.packages import PackedFile
from zave.errors import PreconditionError, StepFailedError

MANIFEST = "manifest.sha256"
"""The file with all digests, as `sha256sum --check` reads it."""

# Terraform's 91 MB become 29 MB in 1.1 s; at the usual 6 it is 27 MB in 2.5 s (measured 2026-11-23)
_LEVEL = 3


class Archive(NamedTuple):
    """A finished archive. `size` in bytes."""

    path: Path
    sha256: str
    size: int


def fingerprint(files: Sequence[PackedFile]) -> str:
    """A digest that changes when any of the files does: name, size and date of each, nothing is read."""
    digest = hashlib.sha256()
    for file in sorted(files):
        stat = file.path.stat()
        told = f"{file.name}\0{file.path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{file.sha256}\n"
        digest.update(told.encode())
    return digest.hexdigest()


def archived(files: Sequence[PackedFile], *, folder: Path, prefix: str) -> Archive:
    """Pack `files` into `folder`, 0600; the archive's name is `prefix` and its digest.

    Raises PreconditionError for a file that is not the one that was published, StepFailedError where it
    cannot be read or written.
    """
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".packing-")
    try:
        with os.fdopen(descriptor, "wb") as raw:
            hashing = _Hashing(raw)
            # neither name nor date: equal contents must give equal archives
            with gzip.GzipFile(
                filename="", mode="wb", fileobj=hashing, compresslevel=_LEVEL, mtime=0
            ) as packed:
                _write(files, packed)
            raw.flush()
            os.fsync(raw.fileno())
        sha256, size = hashing.sha256, Path(draft).stat().st_size
        path = folder / f"{prefix}{sha256}.tar.gz"
        Path(draft).replace(path)
    except OSError as error:
        # a full disk; or a file that became shorter while it was read
        raise StepFailedError(
            "what the destroyer runs could not be packed",
            details=str(error),
            where=str(folder),
            resolution="see that there is a gigabyte of room, then run the same command again",
        ) from error
    finally:
        Path(draft).unlink(missing_ok=True)
    return Archive(path, sha256, size)


def _write(files: Sequence[PackedFile], packed: gzip.GzipFile) -> None:
    digests: list[str] = []
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(files):
            if "\n" in file.name or "\\" in file.name:
                raise PreconditionError(f"{file.name!r} is no name for a list of digests")
            with file.path.open("rb") as content:
                reading = _Reading(content)
                size = os.fstat(content.fileno()).st_size
                archive.addfile(_member(file.name, size, executable=file.executable), reading)
            found = reading.sha256
            if file.sha256 not in (None, found):
                raise PreconditionError(
                    f"{file.path} is not the file that was published: its digest differs",
                    where=str(file.path),
                    resolution="install zave and its packages anew, then run the same command again",
                )
            digests.append(f"{found}  {file.name}\n")
        manifest = "".join(digests).encode()
        archive.addfile(_member(MANIFEST, len(manifest), executable=False), BytesIO(manifest))


def _member(name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    # no owner, no date
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o700 if executable else 0o600
    return member


class _Reading:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._digest.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _Hashing:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()
