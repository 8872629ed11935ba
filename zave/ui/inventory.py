"""What exists, for people: expected, standing, leaks."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, Tone, one_line
from zave.ui.table import table

_PARTS: tuple[tuple[str, str, Tone | None], ...] = (
    ("expected", "expected: a live instance's own", None),
    ("standing", "standing: outlives instances by design", "dim"),
    ("leaks", "LEAKS: no live instance owns them", "bad"),
)


def render_inventory(inventory: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/inventory/v1` document as text."""
    style = style or Style()
    if not any(inventory[key] for key, _, _ in _PARTS):
        of = f" of {one_line(inventory['instance'])}" if inventory["instance"] else ""
        return style.paint(f"nothing{of} exists", "good") + "\n"
    lines: list[str] = []
    for key, title, tone in _PARTS:
        things = inventory[key]
        if not things:
            continue
        lines.append(style.paint(f"{title} ({len(things)})", tone))
        columns = list(dict.fromkeys(name for thing in things for name in thing))
        rows = [[_cell(thing.get(column)) for column in columns] for thing in things]
        heads = [column.replace("_", " ") for column in columns]
        lines += [f"  {line}" for line in table(heads, rows).splitlines()]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return "-" if value is None else one_line(value)
