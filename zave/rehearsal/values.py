"""Terraform's values as Python's: msgpack in and out, unknowns, and paths into them.

Objects and maps are dicts, lists, tuples and sets are lists, numbers are int, float or (where
Terraform sends more digits than a float holds) str. `UNKNOWN` stands for "known after apply".
"""

from collections.abc import Iterator
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]

Path = tuple[str | int, ...]


class _Unknown:
    """The type of `UNKNOWN`, which is its only instance."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __reduce__(self) -> str:
        # the name of the one instance: a copy of an unknown is that same unknown
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()

# Terraform writes a plain unknown as extension 0 and a refined one (not null, prefix...) as 12
_UNKNOWN_CODES = frozenset({0, 12})


def _extension(code: int, data: bytes) -> Any:
    if code in _UNKNOWN_CODES:
        return UNKNOWN
    raise ValueError(f"unexpected msgpack extension {code} ({len(data)} bytes)")


def _encode(value: object) -> Any:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\x00")
    raise TypeError(f"cannot encode {type(value).__name__}")


def decode(data: bytes) -> Any:
    """The value in one msgpack message of Terraform's. Raises ValueError for anything else."""
    return msgpack.unpackb(data, ext_hook=_extension, strict_map_key=False)


def encode(value: Any) -> bytes:
    """`value` as Terraform's msgpack."""
    packed: bytes = msgpack.packb(value, default=_encode)
    return packed


def find(value: Any, pattern: str) -> Iterator[tuple[Path, Any]]:
    """Every place that `pattern` (`devices.disks.*.source`) names, with what stands there.

    `*` goes through lists and maps. A place below a null, an unknown or a missing name is no place.
    """
    return _find(value, pattern.split("."), ())


def _find(value: Any, steps: list[str], path: Path) -> Iterator[tuple[Path, Any]]:
    if not steps:
        yield path, value
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _find(item, rest, (*path, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from _find(item, rest, (*path, key))
    elif isinstance(value, dict) and step in value:
        yield from _find(value[step], rest, (*path, step))


def first(value: Any, pattern: str) -> Any:
    """What stands at the first place that `pattern` names, or None."""
    return next((found for _, found in find(value, pattern)), None)


def at(value: Any, path: Path) -> Any:
    """What stands at exactly `path`, or None where there is no such place."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def assign(value: Any, path: Path, new: Any) -> None:
    """Put `new` at `path`, which must exist in `value`."""
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def has_unknown(value: Any) -> bool:
    """Whether `value` is or contains an unknown."""
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value is UNKNOWN
