"""A receipt for people: what is gone, what stays for a reason, what leaks and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.receipt import leaking_cost
from zave.ui.style import Style, dollars, instance_of, one_line
from zave.ui.table import table

Thing = Mapping[str, Any]


def render_receipt(receipt: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/receipt/v1` document as text."""
    style = style or Style()
    mark = "  REHEARSAL: nothing of this ever existed outside the simulation" if receipt["rehearsal"] else ""
    lines = [
        style.paint(f"Receipt of {instance_of(receipt)}", "strong") + style.paint(mark, "warn"),
        f"  at {receipt['at']}, by the inventory of {', '.join(map(one_line, receipt['inventory_sources']))}",
        "",
    ]
    deleted, accepted, leaks = receipt["deleted"], receipt["accepted"], receipt["leaks"]
    lines.append(f"  deleted   {len(deleted)}")
    lines += [f"    {text}" for text in _counted(deleted)]
    lines.append(f"  accepted  {len(accepted)}")
    lines += [f"    {_name(thing)}: {one_line(thing['reason'])}{_until(thing)}" for thing in accepted]
    if not leaks:
        lines.append(style.paint("  leaks     0   nothing is left, nothing costs", "good"))
    else:
        lines.append(style.paint(f"  LEAKS     {len(leaks)}   {_cost(receipt)}", "bad"))
        rows = [(_name(t), _a_day(t["usd_per_day"]), one_line(t["how_to_delete"])) for t in leaks]
        lines += [f"    {text}" for text in table(["what", "cost", "how to delete"], rows).splitlines()]
    lines.append(style.paint(f"  sha256    {receipt['sha256']}", "dim"))
    return "\n".join(lines) + "\n"


def _cost(receipt: Mapping[str, Any]) -> str:
    return f"{leaking_cost(receipt)} until deleted"


def _a_day(usd: float | None) -> str:
    return "not known" if usd is None else f"{dollars(usd)}/day"


def _counted(things: Sequence[Thing]) -> list[str]:
    """One line a type: a demo deletes sixty things, the document lists them all."""
    names: dict[str, list[str]] = {}
    for thing in things:
        names.setdefault(thing["type"], []).append(one_line(thing["name"] or thing["id"]))
    return [f"{kind} ({len(found)}): {', '.join(found)}" for kind, found in sorted(names.items())]


def _name(thing: Thing) -> str:
    return f"{one_line(thing['type'])} {one_line(thing['name'] or thing['id'])}"


def _until(thing: Thing) -> str:
    return f" (until {thing['until']})" if thing.get("until") else ""
