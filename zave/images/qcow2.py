"""What the head of a qcow2 file says (QEMU's docs/interop/qcow2.txt), before QEMU is let near it."""

import struct
from pathlib import Path

from zave.errors import StepFailedError

_MAGIC = b"QFI\xfb"
# magic, version, backing file's offset and length, cluster bits, virtual size, encryption
_HEAD = struct.Struct(">4sIQIIQI")
# bit 2 of a version 3 image's incompatible features
_EXTERNAL_DATA = 1 << 2


def virtual_size(path: Path) -> int:
    """The size of the disk in `path`, in bytes.

    Raises StepFailedError for what is no qcow2 image, and for one that refers to another file: QEMU
    would open whatever file of the host it names.
    """
    with path.open("rb") as file:
        head = file.read(80)
    if len(head) < _HEAD.size or head[:4] != _MAGIC:
        raise StepFailedError(
            f"{path.name} is not an image in qcow2 format",
            where=str(path),
            resolution="`qemu-img convert -O qcow2 IN OUT` makes one of a raw image; if it was downloaded, "
            "look whether it is whole",
        )
    _, version, backing, _, _, size, encrypted = _HEAD.unpack_from(head)
    if version not in (2, 3) or encrypted:
        raise StepFailedError(f"{path.name} is a qcow2 image of an unknown kind", where=str(path))
    features = struct.unpack_from(">Q", head, 72)[0] if version == 3 and len(head) >= 80 else 0
    if backing or features & _EXTERNAL_DATA:
        raise StepFailedError(
            f"{path.name} is not whole: it refers to another file",
            where=str(path),
            resolution="`qemu-img convert -O qcow2 IN OUT` makes one whole image of it",
        )
    return int(size)
