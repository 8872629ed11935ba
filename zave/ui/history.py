"""Runs and receipts, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, Tone, dollars, one_line, span
from zave.ui.table import table

_OUTCOMES: dict[str | None, Tone] = {
    "done": "good",
    "failed": "bad",
    "interrupted": "warn",
    "declined": "dim",
    None: "warn",
}


def render_history(history: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/history/v1` document as text."""
    style = style or Style()
    if not history["runs"]:
        return "no runs are recorded\n"
    rows = [
        (
            run["id"],
            one_line(run["instance"]),
            one_line(run["command"]),
            style.paint(run["outcome"] or "running or killed", _OUTCOMES[run["outcome"]]),
            "-" if run["exit_code"] is None else str(run["exit_code"]),
            "-" if run["seconds"] is None else span(run["seconds"]),
            _why(run["error"]),
        )
        for run in history["runs"]
    ]
    text = table(["run", "instance", "command", "outcome", "exit", "took", "why"], rows)
    if history["receipts"]:
        receipts = [_receipt(entry, style) for entry in history["receipts"]]
        text += "\n" + table(["receipt of", "at", "deleted", "accepted", "leaks"], receipts)
    return text


def _why(error: Mapping[str, Any] | None) -> str:
    return "" if error is None else one_line(error.get("brief", ""))


def _receipt(entry: Mapping[str, Any], style: Style) -> tuple[str, ...]:
    receipt = entry["receipt"]
    leaks = len(receipt["leaks"])
    shown = f"{leaks}, {dollars(receipt['usd_per_day_leaking'])}/day" if leaks else "0"
    return (
        one_line(entry["instance"]),
        f"{receipt['at'][:10]} {receipt['at'][11:16]}Z",
        str(len(receipt["deleted"])),
        str(len(receipt["accepted"])),
        style.paint(shown, "bad" if leaks else "good"),
    )
