"""What became of the timer, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line

_SAID = {
    "installed": "the timer is written",
    "unchanged": "the timer was there already",
    "removed": "the timer is removed",
    "absent": "there is no timer",
    "shown": "REHEARSAL: nothing was written; these units would be",
}


def render_timer(timer: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/timer/v1` document as text."""
    style = style or Style()
    lines = [style.paint(f"{_SAID[timer['action']]}: {one_line(timer['folder'])}", "strong")]
    if timer["enabled"]:
        lines.append("  it runs `zave reap` twice an hour; `systemctl --user list-timers` shows it")
        lines.append("  while nobody is logged in only after: loginctl enable-linger")
    if timer["by_hand"] is not None:
        lines.append(style.paint("  the user's systemd does not answer here. By hand:", "warn"))
        lines.append(f"  {timer['by_hand']}")
    if timer["action"] == "shown":
        for name, text in timer["units"].items():
            lines += ["", f"# {name}", *map(one_line, text.splitlines())]
    return "\n".join(lines) + "\n"
