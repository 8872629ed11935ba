"""The one YAML loader: a strict, bounded subset of YAML 1.2 that remembers lines.

PyYAML's own loader reads `no` as False and `1:30:00` as 5400, lets duplicate keys pass and expands
aliases without limit. Here only its reader, scanner and parser (all pure Python) are used: no
constructor runs, so no tag can make an object. Refused: duplicate keys, tags, anchors and aliases,
merge keys, a second document, control characters, and everything beyond the limits below.
"""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from zave.errors import SpecError
from zave.spec.shown import MAX_BYTES, shown

__all__ = ["MAX_BYTES", "Document", "KeyPath", "Mark", "parse_yaml"]

# an environment.yaml has about 150 nodes
MAX_NODES = 5_000
MAX_DEPTH = 40
MAX_SCALAR = 4_096
MAX_NUMBER = 20

# the keys and positions that lead from the top to a value
KeyPath = tuple[str | int, ...]

_BOOLEANS = {"true": True, "false": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

# C0 and C1 controls, line separators that editors do not count, byte order mark, bidirectional
# overrides (they make a file read otherwise than it is), lone surrogates
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


@dataclass(frozen=True)
class Mark:
    """A place in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Place:
    """Where a value stands: its key (None for items of lists and for the top) and itself.

    `text` is the scalar as it was written, None for mappings and lists.
    """

    key: Mark | None
    value: Mark
    text: str | None = None

    @property
    def line(self) -> int:
        """The line to name in a message."""
        return (self.key or self.value).line


@dataclass(frozen=True)
class Document:
    """A parsed document: plain dicts, lists, str, int, float, bool and None, and every place."""

    value: object
    places: dict[KeyPath, Place]
    where: str

    def line_of(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it that was written."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path].line


class _Events(Reader, Scanner, Parser):
    """PyYAML's stream of parsing events, without composer and constructor."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)


def parse_yaml(data: str | bytes, *, where: str) -> Document:
    """The one document in `data`. `where` names the file in errors.

    Raises SpecError, with `file:line`, for anything outside the strict subset.
    """
    text = _decode(data, where=where)
    try:
        return _Composer(_Events(text), where=where).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        _refuse_syntax(error, where=where, line=mark.line + 1 if mark else 1)
    except (YAMLError, ValueError) as error:
        # the scanner lets int() and chr() fail on wild %YAML versions and \U escapes
        raise SpecError("not valid YAML", where=f"{where}:1", details=shown(str(error))) from error


def _decode(data: str | bytes, *, where: str) -> str:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_BYTES:
        raise SpecError(
            f"too large for an environment: more than {MAX_BYTES // 1024} KiB",
            where=f"{where}:1",
            resolution="an environment.yaml has a few KiB; check that this is the right file",
        )
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise SpecError(
            "starts with a byte order mark",
            where=f"{where}:1",
            resolution="save it as UTF-8 without a byte order mark",
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(
            f"not UTF-8: byte 0x{raw[error.start]:02x}",
            where=f"{where}:{line}",
            resolution="save the file as UTF-8",
        ) from error
    found = _FORBIDDEN.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise SpecError(
            f"control character U+{ord(found.group()):04X} in the file",
            where=f"{where}:{line}",
            resolution="remove it: it is invisible, and terminals and editors may act on it",
        )
    return text


def _refuse_syntax(error: MarkedYAMLError, *, where: str, line: int) -> NoReturn:
    problem = error.problem or "unreadable"
    if "\\t" in problem or "'\t'" in problem:
        brief, resolution = "a tab character where YAML wants spaces", "indent with spaces"
    elif "found undefined tag handle" in problem:
        brief, resolution = "tags are not supported", "remove the `!...` tag"
    elif "expected <block end>" in problem:
        brief, resolution = "not valid YAML: the indentation does not fit", "compare with the lines above"
    else:
        brief = f"not valid YAML: {shown(problem).strip('`')}"
        resolution = "check quotes, brackets and indentation on and above this line"
    context = f"{shown(error.context).strip('`')}" if error.context else None
    raise SpecError(brief, where=f"{where}:{line}", details=context, resolution=resolution) from error


@dataclass
class _Composer:
    """Turns events into values, counting nodes and depth as it goes."""

    events: _Events
    where: str
    places: dict[KeyPath, Place] = field(default_factory=dict)
    nodes: int = 0

    def document(self) -> Document:
        self._next()  # the stream's start
        if isinstance(self._next(), StreamEndEvent):
            self.places[()] = Place(key=None, value=Mark(1, 1))
            return Document(None, self.places, self.where)
        value = self._node(self._next(), path=(), key=None)
        self._next()  # the document's end
        after = self._next()
        if isinstance(after, DocumentStartEvent):
            self._refuse(after, "a second document in one file", "keep one environment in one file")
        return Document(value, self.places, self.where)

    def _next(self) -> Event:
        event: Event = self.events.get_event()  # type: ignore[no-untyped-call]
        return event

    def _node(self, event: Event, *, path: KeyPath, key: Mark | None) -> object:
        self._check(event, path)
        text = event.value if isinstance(event, ScalarEvent) else None
        self.places[path] = Place(key=key, value=_mark(event), text=text)
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        assert isinstance(event, ScalarEvent)
        return self._scalar(event)

    def _check(self, event: Event, path: KeyPath) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} values", "an environment.yaml has about a hundred")
        if len(path) > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep", "remove the extra brackets")
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            self._refuse(
                event, "anchors and aliases are not supported", "write the value out where it is used"
            )
        tag = getattr(event, "tag", None)
        if tag:
            self._refuse(event, f"tags are not supported: {shown(tag)}", "remove the `!...` tag")

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := self._next(), MappingEndEvent):
            key = self._key(event, path)
            if key in mapping:
                first = self.places[(*path, key)].line
                self._refuse(
                    event, f"duplicate key {shown(key)}, first on line {first}", "keep one of the two"
                )
            mapping[key] = self._node(self._next(), path=(*path, key), key=_mark(event))
        return mapping

    def _key(self, event: Event, path: KeyPath) -> str:
        self._check(event, path)
        if not isinstance(event, ScalarEvent):
            self._refuse(event, "a key must be a word, not a list or a mapping", "put the key in quotes")
        if event.value == "<<" and event.style is None:
            self._refuse(event, "merge keys are not supported", "write the values out where they are used")
        key = self._scalar(event)
        if not isinstance(key, str):
            self._refuse(event, f"a key must be a word, not {shown(event.value)}", "put the key in quotes")
        return key

    def _sequence(self, path: KeyPath) -> list[object]:
        items: list[object] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            items.append(self._node(event, path=(*path, len(items)), key=None))
        return items

    def _scalar(self, event: ScalarEvent) -> str | int | float | bool | None:
        text: str = event.value
        if len(text) > MAX_SCALAR:
            self._refuse(event, f"a text of more than {MAX_SCALAR} characters", "shorten it")
        # again after parsing: an escape such as "\0" is harmless in the file and hostile in the value
        found = _FORBIDDEN.search(text)
        if found:
            self._refuse(event, f"control character U+{ord(found.group()):04X} in a text", "remove it")
        if event.style is not None:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        return self._number(event, text)

    def _number(self, event: ScalarEvent, text: str) -> str | int | float:
        if not (text[0].isdigit() or text[0] in "+-."):
            return text
        base = 10 if _INTEGER.fullmatch(text) else 8 if _OCTAL.fullmatch(text) else 0
        base = 16 if _HEXADECIMAL.fullmatch(text) else base
        if not base and _FLOAT.fullmatch(text) is None:
            return text
        if len(text) > MAX_NUMBER:
            self._refuse(event, f"a number of more than {MAX_NUMBER} digits", "quote it if it is a text")
        return int(text, base) if base else float(text)

    def _refuse(self, event: Event, brief: str, resolution: str) -> NoReturn:
        line = _mark(event).line
        raise SpecError(brief, where=f"{self.where}:{line}", resolution=resolution)


def _mark(event: Event) -> Mark:
    # only events made by hand have no mark
    mark = event.start_mark
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
