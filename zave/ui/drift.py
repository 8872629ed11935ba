"""Differences between plan, world and record, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table

_TITLES = {
    "plan": "Terraform would change",
    "world": "The world differs from the record",
    "record": "The record differs from the world",
}


def render_drift(drift: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/drift/v1` document as text."""
    style = style or Style()
    name = one_line(drift["instance"])
    if drift["in_sync"]:
        return style.paint(f"{name}: no drift", "good") + "\n"
    lines = [style.paint(f"{name}: drift", "warn")]
    for key, title in _TITLES.items():
        entries = drift[key]
        if entries:
            lines.append(f"  {title}:")
            lines += [f"    {line}" for line in _entries(entries)]
    return "\n".join(lines) + "\n"


def _entries(entries: Any) -> list[str]:
    columns = list(dict.fromkeys(key for entry in entries for key in entry))
    rows = [[_cell(entry.get(column)) for column in columns] for entry in entries]
    return table(columns, rows).splitlines()


def _cell(value: Any) -> str:
    return "-" if value is None else one_line(value)
