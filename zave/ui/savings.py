"""What ending on time saved, for people."""

from collections.abc import Mapping
from typing import Any

from zave.text import clean
from zave.ui.style import Style, dollars, span
from zave.ui.table import table


def render_savings(savings: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/savings/v1` document as text."""
    style = style or Style()
    if not savings["lives"]:
        return "no demo is recorded yet\n"
    lives = [
        (
            clean(life["instance"]),
            _minute(life["started_at"]),
            "stands" if life["ended_at"] is None else _minute(life["ended_at"]),
            span(life["hours"] * 3600),
            "not metered" if life["usd"] is None else dollars(life["usd"]),
        )
        for life in savings["lives"]
    ]
    lines = table(["instance", "from", "until", "lived", "cost"], lives).splitlines()
    environments = [
        (
            clean(found["environment"]),
            f"{found['hours_up']:.0f} of {found['hours']:.0f} h",
            dollars(found["usd_spent"]),
            dollars(found["usd_always_on"]),
        )
        for found in savings["environments"]
    ]
    if environments:
        lines += ["", *table(["environment", "was up", "cost", "all the time"], environments).splitlines()]
    standing = savings["standing"]
    lines += ["", f"always there: {dollars(standing['usd'])} ({dollars(standing['usd_month'])} a month)"]
    since, usd = savings["since"][:10], savings["usd_saved"]
    verdict = f"saved since {since}: {_signed(usd)}"
    lines.append(style.paint(verdict, "good" if usd >= 0 else "warn") + ", against running all the time")
    lines += [f"without a price: {clean(name)}" for name in savings["unpriced"]]
    return "\n".join(lines) + "\n"


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:16]}Z"


def _signed(usd: float) -> str:
    return f"-{dollars(-usd)}" if usd < 0 else dollars(usd)
