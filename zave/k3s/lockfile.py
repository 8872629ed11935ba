"""`k3s.lock`: what channels meant and which digests releases had when they were first used."""

import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zave.errors import PreconditionError
from zave.k3s.versions import belongs_to, is_release

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCHEMA = "zave/k3s-lock/v1"
_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class PinnedRelease:
    """The digests of one release: of the amd64 binary, and of the image archive where it is known.

    `source` is where they were read, `since` when (RFC 3339).
    """

    sha256: str
    images_sha256: str | None
    source: str
    since: str


@dataclass(frozen=True)
class Pins:
    """All of a lock file: channel -> release, release -> its digests."""

    channels: dict[str, str] = field(default_factory=dict)
    releases: dict[str, PinnedRelease] = field(default_factory=dict)


def read_pins(file: Path) -> Pins:
    """What `file` holds; nothing when it is not there. Raises PreconditionError when it is damaged."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return Pins()
    except OSError as error:
        raise PreconditionError(f"{file.name} cannot be read: {error.strerror}", where=str(file)) from error
    try:
        return _pins(json.loads(content) if len(content) <= _LARGEST else None)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PreconditionError(
            f"{file.name} is damaged: it is not what zave wrote",
            where=str(file),
            resolution="restore it (git keeps it if the project is in git), or remove it: zave then looks "
            "the releases up again and pins what the vendor publishes now",
        ) from error


def write_pins(file: Path, pins: Pins) -> None:
    """Replace `file`, atomically. It holds no secret and is to be kept in git."""
    document = {
        "schema": _SCHEMA,
        "channels": pins.channels,
        "releases": {version: asdict(release) for version, release in pins.releases.items()},
    }
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=".k3s-lock-")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(file)
    except OSError as error:
        raise PreconditionError(
            f"{file.name} cannot be written: {error.strerror}",
            where=str(file),
            resolution="make the folder writable, or name another project folder (--project)",
        ) from error


def _pins(document: Any) -> Pins:
    if document["schema"] != _SCHEMA:
        raise ValueError("another schema")
    channels = {str(channel): str(release) for channel, release in document["channels"].items()}
    releases = {str(version): PinnedRelease(**fields) for version, fields in document["releases"].items()}
    if not all(belongs_to(release, channel) for channel, release in channels.items()):
        raise ValueError("a channel means a release of another")
    for version, pinned in releases.items():
        digests = [pinned.sha256, *([] if pinned.images_sha256 is None else [pinned.images_sha256])]
        if not is_release(version) or not all(_DIGEST.fullmatch(digest) for digest in digests):
            raise ValueError("no release, or no digest")
    return Pins(channels, releases)
