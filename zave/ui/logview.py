"""Log files on the screen: any size, any bytes, bounded memory."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from zave.text import LineReader, clean

# a longer line is cut for the screen; --raw has it all
MAX_LINE = 16 * 1024
# the last lines are looked for in no more than this much of a file
MAX_TAIL = 4 * 1024 * 1024
_BLOCK = 64 * 1024
_POLL_SECONDS = 0.2


def start_of_last(path: Path, lines: int) -> int:
    """The offset at which the last `lines` lines begin; within the last `MAX_TAIL` bytes at most."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        position, seen = size, 0
        while position > 0 and size - position < MAX_TAIL:
            step = min(_BLOCK, position)
            position -= step
            stream.seek(position)
            block = stream.read(step)
            # the newline that ends the file ends its last line, it does not begin another
            end = len(block) - 1 if position + step == size and block.endswith(b"\n") else len(block)
            while (found := block.rfind(b"\n", 0, end)) >= 0:
                seen += 1
                if seen == lines:
                    return position + found + 1
                end = found
        return position


def lines_from(path: Path, start: int) -> Iterator[str]:
    """The lines of the file from `start` on, harmless, read chunk by chunk."""
    reader = LineReader(path, start=start)
    try:
        reader.behind = True
        while reader.behind:
            yield from map(harmless, reader.lines())
        yield from map(harmless, reader.last())
    finally:
        reader.close()


def harmless(line: str) -> str:
    """A line of a log as one line of the screen; of Terraform's JSON only what it says to people."""
    # a carriage return inside it became a line end: one line of the log stays one line
    text = " ".join(clean(_message(line)).split("\n")).rstrip()
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}... ({len(text) - MAX_LINE} more)"


def _message(line: str) -> str:
    if not line.startswith('{"@level"'):
        return line
    try:
        event = json.loads(line)
        return f"{event['@level']}: {event['@message']}"
    except (ValueError, KeyError, RecursionError):
        return line


def copy_raw(path: Path, start: int, out: BinaryIO) -> None:
    """Copy the file's bytes from `start` on as they are."""
    with path.open("rb") as stream:
        stream.seek(start)
        while block := stream.read(_BLOCK):
            out.write(block)


def print_logs(paths: Sequence[Path], *, lines: int, out: TextIO) -> None:
    """The last `lines` lines (0: all) of each file, under its name when there are several."""
    for path in paths:
        if len(paths) > 1:
            out.write(f"==> {path.stem} <==\n")
        start = start_of_last(path, lines) if lines else 0
        for line in lines_from(path, start):
            out.write(line + "\n")


class Follower:
    """Files that grow, and new ones beside them."""

    def __init__(self, find: Callable[[], Sequence[Path]], *, out: TextIO) -> None:
        self._find = find
        self._out = out
        self._readers: dict[Path, LineReader] = {}
        self._shown: Path | None = None

    def follow(self, *, lines: int, goes_on: Callable[[], bool]) -> None:
        """Show the last `lines` lines (0: all), then what comes, until `goes_on` says that nothing will."""
        for path in self._find():
            self._readers[path] = LineReader(path, start=start_of_last(path, lines) if lines else 0)
        while True:
            # asked before reading: what was written until then is still read
            more = goes_on()
            self._read_all()
            self._out.flush()
            if not more:
                break
            time.sleep(_POLL_SECONDS)
        for path, reader in self._readers.items():
            self._show(path, list(reader.last()))
            reader.close()

    def _read_all(self) -> None:
        for path in self._find():
            if path not in self._readers:
                self._readers[path] = LineReader(path, start=0)
        behind = list(self._readers)
        # each gets its turn, however much one of them has to say
        while behind:
            for path in behind:
                self._show(path, list(self._readers[path].lines()))
            behind = [path for path in behind if self._readers[path].behind]

    def _show(self, path: Path, lines: Sequence[str]) -> None:
        if not lines:
            return
        if path != self._shown:
            self._out.write(f"==> {path.stem} <==\n")
            self._shown = path
        for line in lines:
            self._out.write(harmless(line) + "\n")
