"""The images that Packer built, each with a manifest beside it; without one it is no image."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from zave.images.holding import kept_below
from zave.images.qcow2 import virtual_size
from zave.images.seal import Seal, digests, read_document, write_document

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")
SCHEMA = "zave/image-manifest/v1"


@dataclass(frozen=True)
class Provenance:
    """How an image came to be; `built_at` is RFC 3339, `lynis` the hardening index."""

    image: str
    base: str
    base_checksum: str
    base_verified_by: str
    fingerprint: str
    scripts_sha256: str
    built_at: str
    packer: str
    kernel: str
    lynis: int
    lynis_version: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class StoredImage:
    """A whole image; `virtual_size` is what a machine sees, in bytes."""

    name: str
    path: Path
    seal: Seal
    virtual_size: int
    provenance: Provenance


@dataclass(frozen=True)
class Store:
    """The images in `folder`."""

    folder: Path
    interrupted: Callable[[], bool]

    def find(self, name: str) -> StoredImage | None:
        """The image with this name, if it is whole and intact: quick unless it was touched."""
        stored = self._read(name)
        if stored is None or stored.seal.fits(stored.path):
            return stored
        found = digests(stored.path, {"sha256"}, interrupted=self.interrupted)["sha256"]
        if found != stored.seal.sha256:
            return None
        again = self._sealed(name, stored.provenance, found)
        # a full disk keeps nobody from using an image: it is verified again the next time
        with contextlib.suppress(OSError):
            self._write(again)
        return again

    def add(self, name: str, disk: Path, provenance: Provenance) -> StoredImage:
        """Take a finished disk in; it moves. The manifest comes last: only then it is an image.

        Raises PreconditionError, and keeps nothing, where the disk takes no more.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of an image: {name!r}")
        virtual_size(disk)
        found = digests(disk, {"sha256"}, interrupted=self.interrupted)["sha256"]
        with kept_below(self.folder, name):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.remove(name)
            with disk.open("rb") as file:
                os.fsync(file.fileno())
            disk.replace(self._disk(name))
            stored = self._sealed(name, provenance, found)
            try:
                self._write(stored)
            except OSError:
                self.remove(name)
                raise
        return stored

    def all(self) -> Iterator[StoredImage]:
        """Every image that is whole, by name; damage shows only when one is looked for."""
        for file in sorted(self.folder.glob("*.json")):
            stored = self._read(file.stem)
            if stored is not None:
                yield stored

    def remove(self, name: str) -> None:
        """Remove an image, its manifest first: cut off between them, it is no image any more."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"not the name of an image: {name!r}")
        self.manifest(name).unlink(missing_ok=True)
        self._disk(name).unlink(missing_ok=True)

    def strays(self) -> Iterator[Path]:
        """Disks that are no images: nothing tells how they came to be."""
        for disk in sorted(self.folder.glob("*.qcow2")):
            if _NAME.fullmatch(disk.stem) and self._read(disk.stem) is None:
                yield disk

    def manifest(self, name: str) -> Path:
        """The file that tells how an image came to be."""
        return self.folder / f"{name}.json"

    def _disk(self, name: str) -> Path:
        return self.folder / f"{name}.qcow2"

    def _sealed(self, name: str, provenance: Provenance, sha256: str) -> StoredImage:
        disk = self._disk(name)
        return StoredImage(name, disk, Seal.of(disk, sha256), virtual_size(disk), provenance)

    def _write(self, stored: StoredImage) -> None:
        document = {
            "schema": SCHEMA,
            "name": stored.name,
            "virtual_size": stored.virtual_size,
            "seal": stored.seal.document(),
            **asdict(stored.provenance),
        }
        write_document(self.manifest(stored.name), document)

    def _read(self, name: str) -> StoredImage | None:
        document = read_document(self.manifest(name)) if _NAME.fullmatch(name) else None
        disk = self._disk(name)
        if document is None or not disk.is_file():
            return None
        try:
            if document.pop("schema") != SCHEMA or document.pop("name") != name:
                return None
            size, seal = document.pop("virtual_size"), Seal.from_document(document.pop("seal"))
            provenance = Provenance(**{**document, "packages": tuple(document["packages"])})
        except (KeyError, TypeError, ValueError):
            return None
        return StoredImage(name, disk, seal, int(size), provenance)
