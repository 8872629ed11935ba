"""ELF files made by hand, as small as they can be."""

import struct

from zave.aws.elf import X86_64

_BASE = 0x400000


def shared_object(
    *, glibc: tuple[str, ...] = (), libraries: tuple[str, ...] = (), machine: int = X86_64
) -> bytes:
    """A 64-bit ELF file with a dynamic section that asks for these symbol versions and libraries."""
    strings, places = b"\0", dict[str, int]()
    for text in (*glibc, *libraries):
        places[text] = len(strings)
        strings += text.encode() + b"\0"
    at = 64 + 2 * 56
    verneed_at, strings_at = at, at + 16 + 16 * len(glibc)
    table = struct.pack("<HHIII", 1, len(glibc), 0, 16, 0)
    for number, text in enumerate(glibc, 1):
        step = 16 if number < len(glibc) else 0
        table += struct.pack("<IHHII", 0, 0, number, places[text], step)
    dynamic = b"".join(struct.pack("<qQ", 1, places[name]) for name in libraries)
    dynamic += struct.pack("<qQ", 5, _BASE + strings_at)
    if glibc:
        dynamic += struct.pack("<qQ", 0x6FFFFFFE, _BASE + verneed_at)
    dynamic += struct.pack("<qQ", 0, 0)
    dynamic_at = strings_at + len(strings)
    size = dynamic_at + len(dynamic)
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, _BASE, _BASE, size, size, 4096)
    described = struct.pack(
        "<IIQQQQQQ", 2, 4, dynamic_at, _BASE + dynamic_at, 0, len(dynamic), len(dynamic), 8
    )
    return header + load + described + table + strings + dynamic
