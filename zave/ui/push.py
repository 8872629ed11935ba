"""What became of images that were pushed, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line


def render_push(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/push/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL: nothing was copied", "warn") if document["rehearsal"] else ""
    lines = [f"{document['instance']}{mark}\n"]
    for image in document["images"]:
        lines.append(f"  {image['action']:<8} {one_line(image['target'])}\n")
        lines.append(f"           {image['digest']}\n")
    return "".join(lines)
