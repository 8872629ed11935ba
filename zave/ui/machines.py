"""What is told of a home lab's machines: consoles and snapshots, for people."""

from collections.abc import Mapping
from typing import Any

from zave.ui.style import Style, one_line


def render_console(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/console/v1` document as text."""
    del style
    return "".join(f"{line}\n" for line in document["lines"])


def render_snapshot(document: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/snapshot/v1` document as text."""
    style = style or Style()
    mark = style.paint("  REHEARSAL", "warn") if document["rehearsal"] else ""
    return (
        f"{document['instance']}: {document['action']}{mark}\n"
        f"  file    {one_line(document['path'])}\n"
        f"  size    {document['bytes']} bytes\n"
        f"  sha256  {document['sha256']}\n"
    )
