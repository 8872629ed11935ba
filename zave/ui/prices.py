"""What an update of the prices found, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table


def render_prices(prices: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/prices/v1` document as text."""
    style = style or Style()
    lines = [style.paint(f"Prices of {one_line(prices['region'])}", "strong")]
    if prices["changed"]:
        rows = [
            (
                one_line(each["item"]),
                _rate(each["before"], each["before_range"]),
                _rate(each["after"], each["after_range"]),
            )
            for each in prices["changed"]
        ]
        lines += ["", *(f"  {text}" for text in table(["changed", "was", "is"], rows).splitlines())]
    if prices["spot"]:
        spot = [
            (
                one_line(each["instance_type"]),
                one_line(each["zone"]),
                *(_rate(each[name]) for name in ("low", "mean", "high")),
            )
            for each in prices["spot"]
        ]
        heads = ["spot, seven days", "zone", "least", "mean", "most"]
        lines += ["", *(f"  {text}" for text in table(heads, spot).splitlines())]
    lines += ["", f"  confirmed  {len(prices['confirmed'])}"]
    if prices["not_found"]:
        lines += [f"  not found  {len(prices['not_found'])}: these keep the rate and the date that they had"]
        lines += [f"    {one_line(each['item'])}: {one_line(each['reason'])}" for each in prices["not_found"]]
    return "\n".join(lines) + "\n"


def _rate(usd: float | None, spread: Mapping[str, float] | None = None) -> str:
    if usd is None:
        return "-"
    return f"{usd:g}" if spread is None else f"{usd:g} ({spread['low']:g} to {spread['high']:g})"
