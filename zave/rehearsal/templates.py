"""The little language in which a catalogue spells values, such as `arn:aws:ec2:{region}:{#id:17}`.

`{place}` is what stands there, `{place|filter}` a form of it; a new thing has its own digits: `{#label:17}`
hexadecimal, `{#label:8d}` decimal, `{#label:256i}` a number below 256, `{~label}` a UUID, and `{@}` is the
virtual moment. A label in capitals gives capital digits.
"""

import functools
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from zave.clock import Clock
from zave.rehearsal import account
from zave.rehearsal.values import UNKNOWN, first

_PLACEHOLDER = re.compile(
    r"\{(?:"
    r"(?P<place>[a-z0-9_.*]+)(?:\|(?P<filter>[a-z0-9]+))?"
    r"|\#(?P<label>[A-Za-z0-9_]+):(?P<size>\d+)(?P<form>[di]?)"
    r"|~(?P<uuid>[a-z]+)"
    r"|(?P<moment>@)"
    r")\}"
)
_FILTERS: Mapping[str, Callable[[str], str]] = {
    "bare": lambda value: value.partition("://")[2] or value,
    "last": lambda value: re.split("[/:]", value)[-1],
    "dashes": lambda value: re.sub("[^a-z0-9]+", "-", value.lower()),
    "hex17": lambda value: hashlib.sha256(value.encode()).hexdigest()[:17],
    "host": account.host,
    "zone": account.zone_id,
}


class Source(Protocol):
    """What the identifiers of new things come from: a world."""

    def counter(self, name: str) -> int:
        """The next number of that name."""
        ...

    @property
    def clock(self) -> Clock:
        """The virtual clock, for moments of creation."""
        ...


class Identifiers:
    """The digits of one new thing, the same for one label wherever the thing uses them.

    From a counter, not from chance: one history of a world gives one set of identifiers.
    """

    def __init__(self, kind: str, world: Source) -> None:
        self._kind = kind
        self._world = world

    @functools.cached_property
    def _number(self) -> int:
        return self._world.counter(self._kind)

    def digest(self, label: str) -> bytes:
        """32 bytes of this thing's own, by label."""
        return hashlib.sha256(f"{self._kind}/{self._number}/{label}".encode()).digest()

    def moment(self) -> str:
        """Now, in virtual time, as AWS writes it."""
        return self._world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def text(template: str, values: Mapping[str, Any], identifiers: Identifiers | None = None) -> str | None:
    """`template` with all its places filled in, or None when one of them has no value.

    What only a new thing has needs `identifiers`.
    """
    missing = False

    def fill_in(match: re.Match[str]) -> str:
        nonlocal missing
        found = _placed(match, values) if match["place"] else identifiers and _own(match, identifiers)
        missing = missing or found is None
        return found or ""

    result = _PLACEHOLDER.sub(fill_in, template)
    return None if missing else result


def _placed(match: re.Match[str], values: Mapping[str, Any]) -> str | None:
    value = first(values, match["place"])
    if value is None or value is UNKNOWN:
        return None
    return _FILTERS[match["filter"]](str(value)) if match["filter"] else str(value)


def _own(match: re.Match[str], identifiers: Identifiers) -> str:
    if match["moment"]:
        return identifiers.moment()
    if match["uuid"]:
        return str(uuid.UUID(bytes=identifiers.digest(match["uuid"])[:16], version=4))
    size, digest = int(match["size"]), identifiers.digest(match["label"].lower())
    if match["form"] == "i":
        return str(int.from_bytes(digest) % size)
    if match["form"] == "d":
        return str(int.from_bytes(digest)).zfill(size)[-size:]
    return digest.hex()[:size].upper() if match["label"].isupper() else digest.hex()[:size]
