"""One document on stdout: text for people, JSON for programs."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from zave.settings import Settings
from zave.ui.style import style_for

Document = Mapping[str, Any]


def show(document: Document, render: Callable[..., str], *, settings: Settings) -> None:
    """Print `document`; `render(document, style=...)` makes the text."""
    if settings.output == "json":
        # indented for eyes only: it takes three times as long
        indent = 2 if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(document, ensure_ascii=True, indent=indent) + "\n")
    else:
        sys.stdout.write(render(document, style=style_for(settings.color, sys.stdout)))
