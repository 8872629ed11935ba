"""Hostile text made safe to show: what a tool printed is data, never an instruction to a terminal."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

MASK = "***"

# longest piece of one line that is passed on, in bytes; Terraform's largest JSON events are smaller
LINE_LIMIT = 256 * 1024
CUT = " ... [cut by zave: line too long]"

_CHUNK = 1024 * 1024

# whole escape sequences, so that nothing of them stays visible. No branch crosses a line end: an
# OSC that is never closed must not swallow the lines after it. Every branch is linear.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, erase
    r"|\x1b[\]PX^_k][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]"  # everything short
)

# what may still act on a terminal or hide text: C0 but tab and newline, DEL, C1, line separators,
# bidirectional overrides, invisible fillers, lone surrogates (which cannot even be encoded)
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def clean(text: str) -> str:
    """`text` without anything a terminal would act on; keeps newlines and tabs.

    Escape sequences vanish, carriage returns become line ends, other control characters U+FFFD.
    """
    if not _CONTROLS.search(text):
        return text
    text = _SEQUENCES.sub("", text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("\ufffd", text)


def redact(text: str, secrets: Collection[str]) -> str:
    """`text` with every secret masked, also where it is escaped as in JSON or split into lines."""
    for form in forms(secrets):
        text = text.replace(form, MASK)
    return text


def forms(secrets: Collection[str]) -> list[str]:
    """The ways in which `secrets` may appear in output, the longest first."""
    found = {form for secret in secrets for form in _forms_of(secret) if form}
    return sorted(found, key=lambda form: (-len(form), form))


def _forms_of(secret: str) -> Iterator[str]:
    import json

    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    # a key in several lines is printed line by line; short lines would mask ordinary text
    yield from (line for line in secret.splitlines() if len(line) >= 8)


def mask_file(path: Path, secrets: Collection[str], *, start: int) -> None:
    """Overwrite every secret in the file at `path` from offset `start` on; nothing moves."""
    wanted = [form.encode("utf-8", "replace") for form in forms(secrets)]
    if not wanted:
        return
    overlap = max(len(form) for form in wanted)
    with path.open("r+b", buffering=0) as file:
        offset = start
        while True:
            file.seek(offset)
            chunk = file.read(_CHUNK + overlap)
            masked = chunk
            for form in wanted:
                masked = masked.replace(form, b"*" * len(form))
            if masked != chunk:
                file.seek(offset)
                file.write(masked)
            if len(chunk) <= overlap or len(chunk) < _CHUNK + overlap:
                return
            offset += _CHUNK


class LineReader:
    """Cuts what is appended to a file into lines, in bounded memory."""

    def __init__(self, path: Path, *, start: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._rest = b""
        self.behind = False

    def lines(self) -> Iterator[str]:
        """The next completed lines, without their ends, undecodable bytes replaced.

        Reads one chunk at most, so that a chatty program cannot keep zave from looking at its
        clock; `behind` tells whether there is probably more.
        """
        chunk = self._file.read(_CHUNK)
        self.behind = len(chunk) == _CHUNK
        yield from self._split(chunk)

    def last(self) -> Iterator[str]:
        """What follows the last line end; for when nothing more will be written."""
        if self._rest:
            yield self._bounded(self._rest)
            self._rest = b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _split(self, chunk: bytes) -> Iterator[str]:
        head, end, tail = chunk.partition(b"\n")
        if not end:
            self._keep(chunk)
            return
        self._keep(head)
        yield self._bounded(self._rest)
        self._rest = b""
        complete, end, tail = tail.replace(b"\r\n", b"\n").rpartition(b"\n")
        if end:
            # newline is never part of a longer UTF-8 sequence: decode once, then split
            for line in complete.decode("utf-8", "replace").split("\n"):
                yield line if len(line) <= LINE_LIMIT else line[:LINE_LIMIT] + CUT
        self._keep(tail)

    def _keep(self, data: bytes) -> None:
        # one byte more than the limit is enough to know that the line was longer
        self._rest += data[: LINE_LIMIT + 1 - len(self._rest)]

    @staticmethod
    def _bounded(data: bytes) -> str:
        text = data[:LINE_LIMIT].decode("utf-8", "replace").removesuffix("\r")
        return text if len(data) <= LINE_LIMIT else text + CUT
