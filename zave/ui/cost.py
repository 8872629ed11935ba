"""What an instance costs, for people."""

from collections.abc import Mapping
from typing import Any

from zave.text import clean
from zave.ui.style import Style, dollars
from zave.ui.table import table


def render_cost(cost: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/cost/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL", "warn") if cost["rehearsal"] else ""
    lines = [style.paint(f"Cost of {clean(cost['instance'])}", "strong") + mark]
    if cost["region"] is None:
        return "\n".join([*lines, "a home lab: nobody bills it"]) + "\n"
    lines.append(f"  spent so far   {_range(cost['spent'])}")
    lines.append(f"  an hour        {_range(cost['usd_per_hour'])}")
    if cost["at_expiry"] is not None:
        when = f"{cost['expires_at'][:10]} {cost['expires_at'][11:16]}Z"
        lines.append(f"  at expiry      {_range(cost['at_expiry'])}  ({when})")
    if cost["estimate"] is not None:
        hours = f"{cost['estimate']['hours']:g} h, traffic and logs included"
        lines.append(f"  estimated      {_range(cost['estimate'])}  ({hours})")
    lines += _actual(cost.get("actual"))
    if cost["lines"]:
        heads = ["item", "now", "unit", "rate", "an hour", "spent", "at expiry", "as of"]
        rows = [_row(line) for line in cost["lines"]]
        lines += ["", *(f"  {line}" for line in table(heads, rows).splitlines())]
    for title, names in (("without a price", cost["unpriced"]), ("not metered", cost["unmetered"])):
        lines += [f"  {title}: {clean(name)}" for name in names]
    return "\n".join(lines) + "\n"


def _actual(actual: Mapping[str, Any] | None) -> list[str]:
    """What AWS billed, where it was asked."""
    if actual is None:
        return []
    asked = f"Cost Explorer, {actual['since']} on; asking cost {dollars(actual['usd_of_requests'])}"
    lines = [f"  billed by AWS  {dollars(actual['usd'])}  ({asked})"]
    lines += [f"    {dollars(each['usd'])}  {clean(each['service'])}" for each in actual["services"]]
    if not actual["services"]:
        # it lags, and a tag counts only from its activation on
        lines.append("    nothing yet: it lags by a day, and zave:instance must be a cost allocation tag")
    return lines


def _row(line: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        clean(line["item"]),
        f"{line['quantity']:g}",
        line["unit"],
        f"{line['rate']:g}",
        dollars(line["usd_per_hour"]),
        dollars(line["usd"]),
        dollars(line["usd_at_expiry"]),
        clean(line["as_of"]),
    )


def _range(usd: Mapping[str, float]) -> str:
    """One amount where it is certain, else with what it lies between."""
    low, expected, high = (dollars(usd[name]) for name in ("low", "expected", "high"))
    return expected if low == high else f"{expected} (between {low} and {high})"
