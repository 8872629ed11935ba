"""Findings with their fixes, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.advice import advice
from zave.ui.style import Style, Tone, one_line

_MARKS: dict[str, tuple[str, Tone | None]] = {
    "ok": ("ok", "good"),
    "info": ("info", None),
    "warning": ("warning", "warn"),
    "missing": ("MISSING", "bad"),
}


def render_doctor(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/doctor/v1` document as text."""
    style = style or Style()
    lines: list[str] = []
    for finding in document["findings"]:
        mark, tone = _MARKS[finding["level"]]
        what = one_line(finding["what"])
        lines.append(f"{style.paint(f'{mark:<8}', tone)}  {finding['check']:<18}  {what}")
        if finding["fix"]:
            fix = advice(finding["fix"], rehearsal=document["rehearsal"])
            lines.append(f"{'':<8}  {'':<18}  next: {fix}")
    subject = document["environment"] or ("rehearsals" if document["rehearsal"] else "zave")
    ready = document["ready"]
    lines.append(style.paint(f"{subject}: {'ready' if ready else 'not ready'}", "good" if ready else "bad"))
    return "\n".join(lines) + "\n"
