"""Which image a spec or a command line asks for."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from zave.engine.step import digest
from zave.ports import ImageRequest
from zave.project import Project

_VARIABLES = ".pkrvars.hcl"
# beside the image's own files Packer reads these
_SHARED = "templates/packer"


def image_request(
    project: Project,
    *,
    source: Literal["cloud", "packer"],
    image: str,
    base: str,
    builder: Literal["qemu", "amazon-ebs"],
) -> ImageRequest:
    """The request; its fingerprint covers every file that goes into the image.

    Which bytes it is built on is pinned in `images.lock`: whoever looks for the image compares that
    too. Raises UsageError when there is no such image.
    """
    folder = project.path(f"packer-images/{image}")
    files = dict(_digests(folder, base))
    if source == "packer":
        shared = project.path(_SHARED)
        files |= {f"{_SHARED}/{name}": value for name, value in _digests(shared, base)}
    fingerprint = digest({"source": source, "base": base, "builder": builder, "files": files})
    return ImageRequest(source=source, base=base, image=image, builder=builder, fingerprint=fingerprint)


def _digests(folder: Path, base: str) -> Iterator[tuple[str, str]]:
    """(name, SHA-256) of what goes into the image: not its description, nor the variables of other bases."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name == "README.md":
            continue
        if name.endswith(_VARIABLES) and name != f"{base}{_VARIABLES}":
            continue
        yield name, hashlib.sha256(path.read_bytes()).hexdigest()
