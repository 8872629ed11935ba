"""The file that a snapshot is: one JSON line of 4096 bytes that says what follows, the data, then the keys.

The keys are what makes a control plane the one it is (`zave.k3s.authority`). Files of the first schema hold
none: they fit the control plane that made them, and no other.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from zave.errors import PreconditionError
from zave.process import open_private

HEADER = 4096
DIGEST = re.compile(r"[0-9a-f]{64}")

_SCHEMAS = {"zave/k3s-snapshot/v1": False, "zave/k3s-snapshot/v2": True}
_SCHEMA = "zave/k3s-snapshot/v2"
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Header:
    """What a snapshot file says of itself: `ca_sha256` identifies the cluster, `sha256` is the data's.

    `keys_size` is 0 where there are no keys.
    """

    instance: str
    kind: str
    release: str
    ca_sha256: str
    sha256: str
    size: int
    keys_sha256: str = ""
    keys_size: int = 0

    @property
    def sections(self) -> tuple[tuple[str, int], ...]:
        """Digest and size of what follows the header, in order."""
        return (self.sha256, self.size), (self.keys_sha256, self.keys_size)


def read_header(source: Path) -> Header:
    """What a snapshot file says of itself. Raises PreconditionError for any other file."""
    try:
        with source.open("rb") as file:
            document = json.loads(file.read(HEADER))
        with_keys = _SCHEMAS[document.pop("schema")]
        header = Header(**document)
        digests = [digest for digest, _ in header.sections[: 1 + with_keys]]
        size = HEADER + sum(size for _, size in header.sections)
        if not all(map(DIGEST.fullmatch, digests)) or source.stat().st_size != size:
            raise ValueError("cut off")
    except OSError as error:
        raise PreconditionError(f"{source} cannot be read: {error.strerror}", where=str(source)) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PreconditionError(
            f"{source} is no whole snapshot of zave's",
            where=str(source),
            resolution="name a file that `zave snapshot` wrote",
        ) from error
    return header


def begin(file: Path, header: Header) -> None:
    """Make the file (0600), with its header alone."""
    line = json.dumps({"schema": _SCHEMA, **asdict(header)}).encode()
    with os.fdopen(open_private(file, os.O_WRONLY | os.O_EXCL), "wb") as stream:
        stream.write(line.ljust(HEADER - 1) + b"\n")


def is_whole(file: Path, header: Header) -> bool:
    """Whether what follows the header is what it says."""
    with file.open("rb") as stream:
        stream.seek(HEADER)
        for expected, size in header.sections:
            digest, left = hashlib.sha256(), size
            while left and (chunk := stream.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
            if left or digest.hexdigest() != expected:
                return False
        return not stream.read(1)
