"""Events for programs: one JSON object a line on stdout, flushed at once."""

import json
import os
from typing import TextIO

from zave.events import Stamped


class JsonLines:
    """A sink that writes every event, the last one `run.finished`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False

    def emit(self, stamped: Stamped) -> None:
        """Write one line."""
        if self._broken:
            return
        try:
            # ASCII: line separators of Unicode must not look like ends of lines to anybody
            self._stream.write(json.dumps(stamped.to_document(), ensure_ascii=True, default=str) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # whoever listened went away; the run is worth more than its audience
            self._broken = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def close(self) -> None:
        """Nothing is held back."""
