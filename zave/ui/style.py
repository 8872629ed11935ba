"""Colours and spans of time as text, without rich: reading commands must be quick."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from zave.settings import Color
from zave.text import clean

Tone = Literal["good", "bad", "warn", "dim", "strong"]
_CODES: dict[Tone, str] = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "strong": "1"}


@dataclass(frozen=True)
class Style:
    """Paints words, or leaves them alone where there are no colours."""

    enabled: bool = False

    def paint(self, text: str, tone: Tone | None) -> str:
        """`text` in the tone's colour."""
        if not self.enabled or tone is None or not text:
            return text
        return f"\x1b[{_CODES[tone]}m{text}\x1b[0m"


def style_for(color: Color, stream: TextIO) -> Style:
    """The style that the setting and the stream call for."""
    if color == "auto":
        return Style(stream.isatty() and os.environ.get("TERM") != "dumb")
    return Style(color == "always")


def one_line(text: object) -> str:
    """Anybody's words made harmless, on one line, as a cell or a line of a list."""
    return " ".join(clean(str(text)).split())


def instance_of(document: Mapping[str, Any]) -> str:
    """Whose a document is: the instance, and its environment where that is called otherwise."""
    environment = one_line(document["environment"])
    instance = one_line(document.get("instance") or environment)
    return instance if instance == environment else f"{instance} ({environment})"


def span(seconds: float) -> str:
    """A span of time for people: `3.2 s`, `6 min 02 s`, `2 h 05 min`, `3 d 04 h`."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes // 60 % 24:02} h"


def dollars(usd: float) -> str:
    """An amount for people: two digits, more where they would hide a small one."""
    return f"${usd:.2f}" if usd == 0 or abs(usd) >= 0.01 else f"${usd:.4f}"
