"""What a program that has ended left in its files: its output unless that is a flood, and its last words."""

import os
from collections.abc import Collection
from pathlib import Path

from zave.errors import ToolFailedError
from zave.text import clean, redact

# more than any answer that is asked for: what is larger is not read at all
_OUTPUT_LIMIT = 64 * 1024 * 1024
_WORDS_LIMIT = 4000


def whole_output(log: Path, *, name: str) -> bytes:
    """All that the program called `name` printed to `log`. Raises ToolFailedError for more than 64 MiB."""
    if log.stat().st_size > _OUTPUT_LIMIT:
        raise ToolFailedError(f"{name} printed more than {_OUTPUT_LIMIT >> 20} MiB")
    return log.read_bytes()


def last_words(errors: Path, *, secrets: Collection[str] = ()) -> str:
    """The end of what it said, at most 4000 bytes: harmless text, every secret masked."""
    with errors.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - _WORDS_LIMIT)
        file.seek(begin)
        said = file.read(_WORDS_LIMIT)
    if begin:
        # what the limit cuts in two may be a secret, whose rest nothing would mask
        said = b"".join(said.split(maxsplit=1)[1:])
    return redact(clean(said.decode("utf-8", "replace")), secrets).strip()
