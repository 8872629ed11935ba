"""The simulated world, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line
from zave.ui.table import table

Document = Mapping[str, Any]


def render_rehearsal(document: Document, *, style: Style | None = None) -> str:
    """A `zave/rehearsal/v1` document as text."""
    del style
    speed = document["speed"]
    pace = f"{speed:g} times real time" if speed else "as fast as it can"
    return (
        f"virtual time  {document['now']}, {pace}\n"
        f"things        {document['things']}\n"
        f"faults        {document['faults']}\n"
    )


def render_faults(document: Document, *, style: Style | None = None) -> str:
    """A `zave/faults/v1` document as text."""
    del style
    if not document["faults"]:
        return "no faults: everything will go well\n"
    rows = [
        (
            str(fault["id"]),
            one_line(fault["text"]),
            "always" if fault["remaining"] is None else str(fault["remaining"]),
            str(fault["skip"]),
        )
        for fault in document["faults"]
    ]
    return table(["id", "fault", "strikes left", "calls it lets pass first"], rows)


def render_world_log(document: Document, *, style: Style | None = None) -> str:
    """A `zave/world-log/v1` document as text."""
    del style
    if not document["events"]:
        return "nothing has happened yet\n"
    rows = [
        tuple(one_line(event[key]) for key in ("seq", "virtual_at", "verb", "type", "name", "detail"))
        for event in document["events"]
    ]
    return table(["no", "virtual time", "what", "type", "name", "detail"], rows)
