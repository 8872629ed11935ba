"""Which sink shows a run: JSON lines, the live screen or plain lines."""

import os
import sys

from zave.events import Sink
from zave.settings import Settings
from zave.ui.style import style_for


def sink_for(settings: Settings, *, quiet: bool = False, verbose: bool = False) -> Sink:
    """The sink for this output setting and these streams; rich is imported for a screen only."""
    if settings.output == "json":
        from zave.ui.jsonlines import JsonLines

        return JsonLines(sys.stdout)
    style = style_for(settings.color, sys.stderr)
    if not quiet and not verbose and _can_draw():
        from zave.ui.live import LiveScreen

        return LiveScreen(talk=sys.stderr, data=sys.stdout, style=style)
    from zave.ui.plain import PlainLines

    return PlainLines(talk=sys.stderr, data=sys.stdout, style=style, quiet=quiet, verbose=verbose)


def _can_draw() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
