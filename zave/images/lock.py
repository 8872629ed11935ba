"""`images.lock`: which bytes each base image is, pinned on first use and reviewed in git.

TOML, one table an image, sorted. The vendor may publish what it likes: until somebody asks for the
new one, zave works with the pinned one, here and on every machine that has this file.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.errors import PreconditionError, UsageError
from zave.images.vendor import Algorithm

FILE = "images.lock"

_VERSION = 1
_LIMIT = 256 * 1024
_HEAD = """\
# The base images that zave works with, pinned. Keep this file in git.
# `zave build-image --base BASE --update` pins what the vendor publishes now.

version = 1
"""
_BASE = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_DIGEST = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}
_TEXTS = ("base", "url", "algorithm", "checksum", "serial", "verified_by", "first_used")
# a control character, or what ends a TOML string
_UNSAFE = re.compile('["\\\\\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Pin:
    """One base image: `checksum` is hexadecimal, `size` in bytes (None: not known yet).

    `url` is where it came from, `file:///...` for one of the user's own; `serial` the vendor's name
    of the build, empty when it is not known. `verified_by` says in words what the trust in the
    checksum rests on. `first_used` is a date.
    """

    base: str
    url: str
    algorithm: Algorithm
    checksum: str
    verified_by: str
    first_used: str
    serial: str = ""
    size: int | None = None

    @property
    def literal(self) -> str:
        """`sha256:...` or `sha512:...`, as Packer wants it."""
        return f"{self.algorithm}:{self.checksum}"

    @property
    def own_file(self) -> Path | None:
        """The file of the user's own that this is, if it is one."""
        from urllib.parse import unquote, urlsplit

        parts = urlsplit(self.url)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None


@dataclass(frozen=True)
class ImagesLock:
    """The lock file at `path`, which need not be there."""

    path: Path

    def pins(self) -> dict[str, Pin]:
        """All pins by base. Raises PreconditionError, naming the fault, for a damaged file."""
        import tomllib

        try:
            with self.path.open("rb") as file:
                content = file.read(_LIMIT + 1)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._damaged(f"it cannot be read: {error.strerror}") from error
        if len(content) > _LIMIT:
            raise self._damaged("it is too large to be a lock file")
        try:
            document = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        if document.pop("version", None) != _VERSION:
            raise self._damaged(f"its version is not {_VERSION}: a newer zave wrote it, or nobody did")
        tables = document.pop("image", [])
        if document or not isinstance(tables, list):
            raise self._damaged(f"unknown: {', '.join(document) or 'image'}")
        pins = [self._pin(table) for table in tables]
        found = {pin.base: pin for pin in pins}
        if len(found) < len(pins):
            raise self._damaged("it pins an image twice")
        return found

    def get(self, base: str) -> Pin | None:
        """The pin of `base`."""
        return self.pins().get(base)

    def put(self, pin: Pin) -> None:
        """Pin an image, replacing its earlier pin; the file is replaced as a whole.

        Raises UsageError for a name that no image can have.
        """
        if not _BASE.fullmatch(pin.base):
            raise UsageError(f"{pin.base!r} cannot be the name of an image")
        self._write({**self.pins(), pin.base: pin}.values())

    def _write(self, pins: Iterable[Pin]) -> None:
        tables = [_table(pin) for pin in sorted(pins, key=lambda pin: pin.base)]
        content = "\n".join([_HEAD, *tables]).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".images-")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                # kept in git, read by others; mkstemp's mode is for secrets
                os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self.path)
        except OSError as error:
            raise self._unwritable(error) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()

    def _pin(self, table: Any) -> Pin:
        allowed = {*_TEXTS, "size"}
        if not isinstance(table, dict) or not set(table) <= allowed:
            raise self._damaged(f"an image has values besides {', '.join(sorted(allowed))}")
        missing = allowed - {"serial", "size"} - set(table)
        if missing:
            raise self._damaged(f"an image has no {', '.join(sorted(missing))}")
        wrong = [key for key in _TEXTS if not isinstance(table.get(key, ""), str)]
        size = table.get("size")
        if wrong or not (size is None or (type(size) is int and size > 0)):
            raise self._damaged(f"of the wrong type: {', '.join(wrong) or 'size'}")
        digest = _DIGEST.get(table["algorithm"])
        if digest is None or not digest.fullmatch(table["checksum"]):
            raise self._damaged(f"{table['base']}: that is no checksum")
        if not _BASE.fullmatch(table["base"]) or not table["url"].startswith(
            ("https://", "http://", "file:///")
        ):
            raise self._damaged(f"{table['base']}: that is no image, or no URL")
        return Pin(**table)

    def _damaged(self, why: str) -> PreconditionError:
        return PreconditionError(
            f"{self.path.name} cannot be trusted: {why}",
            where=str(self.path),
            resolution="restore it from git; or remove it, and the next run pins the images anew",
        )

    def _unwritable(self, error: OSError) -> PreconditionError:
        return PreconditionError(
            f"{self.path.name} cannot be written: {error.strerror}",
            where=str(self.path),
            resolution="make the folder writable and free some space, then run it again",
        )


def _table(pin: Pin) -> str:
    values: dict[str, str | int | None] = {
        "base": pin.base,
        "url": pin.url,
        "algorithm": pin.algorithm,
        "checksum": pin.checksum,
        "size": pin.size,
        "serial": pin.serial or None,
        "verified_by": pin.verified_by,
        "first_used": pin.first_used,
    }
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join(["[[image]]", *lines, ""])


def _toml(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return '"' + _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", value) + '"'
