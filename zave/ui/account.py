"""An account's standing parts for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.advice import advice
from zave.ui.style import Style, Tone, dollars, one_line
from zave.ui.table import table

_TONES: Mapping[str, Tone] = {"ready": "good", "partial": "warn", "absent": "dim"}


def render_account(account: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/account/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL", "warn") if account["rehearsal"] else ""
    where = f"Account {one_line(account['account'])} in {one_line(account['region'])}"
    lines = [
        style.paint(where, "strong") + mark,
        f"  standing parts  {style.paint(account['phase'], _TONES[account['phase']])}",
    ]
    if account["bucket"] is not None:
        lines.append(f"  bucket          {one_line(account['bucket'])}")
    if account["instances"]:
        lines.append(f"  instances       {', '.join(map(one_line, account['instances']))}")
    if account["standing"]:
        lines.append(f"  cost            {dollars(account['usd_per_month'])} a month")
        lines.append("")
        rows = [
            (_price(part["usd_per_month"]), one_line(part["type"]), one_line(part["name"]))
            for part in account["standing"]
        ]
        lines += [f"  {text}" for text in table(["a month", "type", "name"], rows).splitlines()]
    lines += [style.paint(f"  missing or altered: {one_line(part)}", "warn") for part in account["missing"]]
    lines += [
        style.paint(f"  not looked at, without rights: {one_line(part)}", "warn")
        for part in account["unread"]
    ]
    if account["undelivered"]:
        text = f"{account['undelivered']} messages wait in the dead-letter queue: fires that started nothing"
        lines.append(style.paint(f"  warning: {text}", "warn"))
    if account["standing"] and not account["subscription_confirmed"]:
        text = "the address for alarms is not confirmed: open the link that AWS sent to it"
        lines.append(style.paint(f"  warning: {text}", "warn"))
    if account["phase"] != "ready":
        lines.append(f"  next: {advice('zave account setup', rehearsal=account['rehearsal'])}")
    return "\n".join(lines) + "\n"


def _price(usd: float | None) -> str:
    return "-" if usd is None else dollars(usd)
