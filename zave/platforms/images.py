"""Which image a spec or a command line asks for."""

import hashlib
from typing import Literal

from zave.engine.step import digest
from zave.ports import ImageRequest
from zave.project import Project


def image_request(
    project: Project,
    *,
    source: Literal["cloud", "packer"],
    image: str,
    base: str,
    builder: Literal["qemu", "amazon-ebs"],
) -> ImageRequest:
    """The request; its fingerprint covers every file of the image and what it is built on.

    Raises UsageError when there is no such image.
    """
    folder = project.path(f"packer-images/{image}")
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    fingerprint = digest({"source": source, "base": base, "builder": builder, "files": files})
    return ImageRequest(source=source, base=base, image=image, builder=builder, fingerprint=fingerprint)
