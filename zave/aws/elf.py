"""What a Linux program or library needs of the machine that runs it, read from its ELF headers.

Layout: elf(5) and the "Symbol Versioning" part of the Linux Standard Base. Nothing is run.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x7fELF"
X86_64 = 62

_CLASS_64_LITTLE = (2, 1)
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _VERNEED = 1, 5, 0x6FFFFFFE
_GLIBC = re.compile(rb"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")
# a version table or a chain longer than this belongs to no real file
_MOST = 4096


@dataclass(frozen=True)
class Needs:
    """The machine's number (`X86_64`), the newest glibc asked for (None: none) and the libraries."""

    machine: int
    glibc: tuple[int, int] | None
    libraries: tuple[str, ...]


def needs(path: Path) -> Needs | None:
    """What the file at `path` needs; None when it is no ELF file. Raises ValueError for a broken one."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                return _Reader(content).needs()
            except (struct.error, IndexError, ValueError) as error:
                raise ValueError(f"{path.name} is no whole ELF file: {error}") from error


class _Reader:
    """One file of 64 bits, little-endian."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content

    def needs(self) -> Needs:
        if self._unpack("BB", 4) != _CLASS_64_LITTLE:
            # another machine's, whichever: nothing more has to be known
            return Needs(-1, None, ())
        machine = self._unpack("H", 18)[0]
        segments = list(self._segments())
        dynamic = [(offset, size) for kind, offset, _, size in segments if kind == _DYNAMIC]
        if not dynamic:
            return Needs(machine, None, ())
        entries = list(self._entries(*dynamic[0]))
        strings = self._place(segments, next((value for tag, value in entries if tag == _STRTAB), 0))
        libraries = tuple(
            self._string(strings + value).decode("ascii", "replace")
            for tag, value in entries
            if tag == _NEEDED
        )
        table = next((value for tag, value in entries if tag == _VERNEED), None)
        versions = () if table is None else self._versions(self._place(segments, table), strings)
        return Needs(machine, max(versions, default=None), libraries)

    def _segments(self) -> Iterator[tuple[int, int, int, int]]:
        """Kind, offset in the file, address in memory and size of each segment."""
        (start,) = self._unpack("Q", 32)
        size, count = self._unpack("HH", 54)
        for index in range(count):
            kind, _, offset, address, _, in_file = self._unpack("IIQQQQ", start + index * size)
            yield kind, offset, address, in_file

    def _entries(self, offset: int, size: int) -> Iterator[tuple[int, int]]:
        for at in range(offset, offset + min(size, 16 * _MOST), 16):
            tag, value = self._unpack("qQ", at)
            if tag == 0:
                return
            yield tag, value

    @staticmethod
    def _place(segments: list[tuple[int, int, int, int]], address: int) -> int:
        """Where in the file that address of memory comes from."""
        for kind, offset, start, size in segments:
            if kind == _LOAD and start <= address < start + size:
                return offset + address - start
        raise ValueError("an address outside of its segments")

    def _versions(self, table: int, strings: int) -> Iterator[tuple[int, int]]:
        for _ in range(_MOST):
            _, count, _, first, following = self._unpack("HHIII", table)
            at = table + first
            for _ in range(min(count, _MOST)):
                _, _, _, name, step = self._unpack("IHHII", at)
                if match := _GLIBC.fullmatch(self._string(strings + name)):
                    yield int(match[1]), int(match[2])
                at += step
            if not following:
                return
            table += following

    def _string(self, at: int) -> bytes:
        end = self._content.find(b"\0", at, at + 4096)
        if end < 0:
            raise ValueError("a string without an end")
        return self._content[at:end]

    def _unpack(self, layout: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{layout}", self._content, at)
