"""Plain aligned tables: quick for thousands of rows, harmless to pipes and narrow terminals."""

import re
import shutil
from collections.abc import Sequence
from typing import TextIO

# what `Style.paint` wraps a cell in takes no room on the screen
_PAINT = re.compile(r"\x1b\[[0-9;]*m")
_GAP = "  "
_NARROWEST = 8


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Rows under their headings; the last column is cut to `width` (None: as long as it is).

    Cells may be painted by `Style`; everything else in them must be clean already.
    """
    lines = [[heading.upper() for heading in columns], *rows]
    sizes = [max(map(_size, cells)) for cells in zip(*lines, strict=True)]
    if width is not None:
        rest = width - sum(sizes[:-1]) - len(_GAP) * (len(sizes) - 1)
        sizes[-1] = min(sizes[-1], max(rest, _NARROWEST))
    return "".join(_line(cells, sizes) for cells in lines)


def width_of(stream: TextIO) -> int | None:
    """The width to cut to: the terminal's, None off a terminal, where nothing may be lost."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _size(cell: str) -> int:
    return len(_PAINT.sub("", cell) if "\x1b" in cell else cell)


def _line(cells: Sequence[str], sizes: Sequence[int]) -> str:
    *front, last = cells
    padded = [cell + " " * (size - _size(cell)) for cell, size in zip(front, sizes, strict=False)]
    if _size(last) > sizes[-1]:
        last = _PAINT.sub("", last)[: sizes[-1] - 1] + "…"
    return _GAP.join([*padded, last]).rstrip() + "\n"
