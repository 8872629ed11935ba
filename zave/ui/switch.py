"""The dead-man's switch for people: when it fires, what is wrong with it."""

from collections.abc import Mapping
from typing import Any

from zave.ui.advice import advice
from zave.ui.style import Style, one_line, span


def render_switch(switch: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/switch/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL", "warn") if switch["rehearsal"] else ""
    state = style.paint("armed", "good") if switch["armed"] else style.paint("NOT ARMED", "bad")
    lines = [
        style.paint(f"Switch of {one_line(switch['instance'])}", "strong") + mark,
        f"  {state}, as read back from {one_line(switch['source'])}",
    ]
    if switch["expires_at"] is not None:
        lines.append(f"  expires    {switch['expires_at']}")
    if switch["previous_expires_at"] is not None:
        lines.append(f"  before     {switch['previous_expires_at']}")
    if switch["next_fire_at"] is not None:
        lines.append(f"  next fire  {switch['next_fire_at']}")
    for warning in switch["warnings"]:
        left = f" ({span(warning['seconds_left'])} left)" if warning["seconds_left"] is not None else ""
        text = advice(one_line(warning["text"]), rehearsal=switch["rehearsal"])
        lines.append(style.paint(f"  warning    {text}{left}", "warn"))
    return "\n".join(lines) + "\n"
