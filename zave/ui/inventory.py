"""What exists, for people: expected, standing, leaks."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.ui.style import Style, Tone, dollars, one_line
from zave.ui.table import table

_PARTS: tuple[tuple[str, str, Tone | None], ...] = (
    ("expected", "expected: a live instance's own", None),
    ("standing", "standing: outlives instances by design", "dim"),
    ("unclear", "unclear: free of charge, and their demo may live in a region not looked at", "dim"),
    ("leaks", "LEAKS: no live instance owns them", "bad"),
)

_MONEY = {"usd_per_day": "a day", "usd_per_month": "a month"}


def render_inventory(inventory: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/inventory/v1` document as text."""
    style = style or Style()
    unanswered = inventory.get("unanswered") or ()
    if not unanswered and not any(inventory.get(key) for key, _, _ in _PARTS):
        of = f" of {one_line(inventory['instance'])}" if inventory["instance"] else ""
        return "\n".join([style.paint(f"nothing{of} exists", "good"), *_looked_at(inventory, style)]) + "\n"
    lines: list[str] = []
    for key, title, tone in _PARTS:
        things = inventory.get(key)
        if not things:
            continue
        lines.append(style.paint(f"{title} ({len(things)})", tone))
        lines += [f"  {line}" for line in _table(things).splitlines()]
    return "\n".join([*lines, *_looked_at(inventory, style), *_unanswered(unanswered, style)]) + "\n"


def _table(things: Sequence[Mapping[str, Any]]) -> str:
    """By type and name; where the name says the same, the ID is left out: ARNs are long."""
    shown = [{**thing, "id": None if thing["id"] == thing["name"] else thing["id"]} for thing in things]
    shown.sort(key=lambda thing: (str(thing["type"]), str(thing["name"])))
    named = dict.fromkeys(name for thing in shown for name in thing)
    columns = [name for name in named if name != "id" or any(thing["id"] for thing in shown)]
    rows = [[_cell(thing.get(column), money=column in _MONEY) for column in columns] for thing in shown]
    return table([_MONEY.get(column, column.replace("_", " ")) for column in columns], rows)


def _looked_at(inventory: Mapping[str, Any], style: Style) -> list[str]:
    """That nothing is somewhere says little of anywhere else."""
    places = inventory.get("looked_at") or ()
    if not places:
        return []
    return [style.paint(f"looked at: {', '.join(one_line(place) for place in places)}", "dim")]


def _unanswered(places: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """The places that could not be looked at: whatever they hold is not in the lists."""
    if not places:
        return []
    lines = [style.paint(f"NOT LOOKED AT: what is there is not known ({len(places)})", "bad")]
    for each in places:
        lines.append(f"  {one_line(each['place'])}: {one_line(each['problem'])}")
        if each["resolution"]:
            lines.append(f"    next: {one_line(each['resolution'])}")
    return lines


def _cell(value: Any, *, money: bool) -> str:
    if value is None:
        return "-"
    return dollars(value) if money else one_line(value)
