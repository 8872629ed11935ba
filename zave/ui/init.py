"""What `zave init` wrote, for people."""

import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from zave.text import clean
from zave.ui.style import Style


def render_init(made: Mapping[str, Any], *, style: Style | None = None) -> str:
    """A `zave/init/v1` document as text."""
    style = style or Style()
    folder = clean(made["folder"])
    counts = Counter(path.split("/", 1)[0] + "/" for path in made["files"] if "/" in path)
    lines = [style.paint(f"{len(made['files'])} files in {folder}", "strong")]
    lines += [f"  {top}  {number} files" for top, number in sorted(counts.items())]
    lines += [f"  {clean(path)}" for path in made["files"] if "/" not in path]
    lines.append(f"next: cd {shlex.quote(folder)} && zave up homelab --rehearse")
    return "\n".join(lines) + "\n"
