"""Settings with their origins, for people."""

from collections.abc import Mapping
from typing import Any

from zave.spec.units import format_duration
from zave.ui.style import Style, one_line
from zave.ui.table import table


def render_config(config: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/config/v1` document as text."""
    del style  # nothing in it is better or worse than another
    rows = [
        (row["name"], _shown(row["name"], row["value"]), one_line(row["origin"]), row["summary"])
        for row in config["settings"]
    ]
    folders = [(row["name"], one_line(row["origin"]), one_line(row["path"])) for row in config["folders"]]
    return (
        table(["setting", "value", "origin", "meaning"], rows)
        + "\n"
        + table(["folder", "origin", "path"], folders)
    )


def _shown(name: str, value: Any) -> str:
    if name == "step_timeout":
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else one_line(value)
