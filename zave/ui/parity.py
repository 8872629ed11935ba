"""The comparison of two environments, for people and for the documentation."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table

# a whole section that one side has is not shown to its end
_WIDEST = 60


def render_parity(parity: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/parity/v1` document as text."""
    style = style or Style()
    left, right = (one_line(parity[side]["environment"]) for side in ("left", "right"))
    counts = parity["objects"]
    if parity["in_parity"]:
        head = style.paint(f"{left} and {right} are one platform", "good")
    else:
        head = style.paint(f"{left} and {right} are not the same", "warn")
    lines = [
        f"{head}: {counts['both']} objects in both, {counts['left']} and {counts['right']} in all, "
        f"{len(parity['declared'])} declared differences"
    ]
    for title, columns, rows in _sections(parity, left, right):
        if rows:
            lines.append(f"  {title}:")
            lines += [f"    {line}" for line in table(columns, rows).splitlines()]
    return "\n".join(lines) + "\n"


def render_table(parity: Mapping[str, Any]) -> str:
    """What is declared, as a table in Markdown: one line a declaration."""
    left, right = (parity[side]["environment"] for side in ("left", "right"))
    lines = [f"| what | {left} | {right} | why |", "|---|---|---|---|"]
    for each in parity["declarations"]:
        uses = [e for e in parity["declared"] if each["declaration"] in e["declarations"]]
        cells = [each["declaration"], _summary(uses, "left"), _summary(uses, "right"), each["reason"]]
        lines.append(f"| {' | '.join(_markdown(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _sections(
    parity: Mapping[str, Any], left: str, right: str
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    columns = ["object", "path", left, right]
    rows = [
        [
            one_line(entry["object"]),
            one_line(entry["path"]) or "-",
            _cell(entry, "left"),
            _cell(entry, "right"),
        ]
        for entry in parity["undeclared"]
    ]
    yield "Not declared", columns, rows
    rows = [
        [one_line(entry[key]) for key in ("environment", "object", "path", "problem")]
        for entry in parity["undefined"]
    ]
    yield "Refused by Flux", ["environment", "object", "path", "why"], rows
    rows = [[str(entry["line"]), one_line(entry["declaration"])] for entry in parity["unused"]]
    yield "Declared, and not found", ["line", "declaration"], rows


def _cell(entry: Mapping[str, Any], side: str) -> str:
    """One side's value; of a whole object only whether it is there."""
    if entry["only"] not in (None, side):
        return "absent"
    return "present" if not entry["path"] else _short(entry[side])


def _short(value: Any) -> str:
    text = one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _summary(uses: list[Mapping[str, Any]], side: str) -> str:
    objects = [use for use in uses if not use["path"]]
    if objects:
        there = sum(use["only"] == side for use in objects)
        return f"{there} object{'s' if there > 1 else ''}" if there else "none"
    # a variable is told as it is defined, not as it is used
    defined = [
        use for use in uses if use["object"].startswith("ConfigMap ") and use["path"].startswith("data.")
    ]
    return _cell((defined or uses)[0], side) if uses else "-"


def _markdown(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*")
