"""What differs between two objects, field by field."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from zave.gitops.manifests import Manifest
from zave.gitops.quantity import quantity
from zave.gitops.substitution import variables_in


class _Absent(Enum):
    """The side that has no such field or object."""

    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT

# a step into a mapping (its key), into a list of named things (the name) or into another list (the place)
Path = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_FIRST = re.compile(r'([A-Za-z0-9_*-]+)|\[([0-9]+)\]|\["([^"]+)"\]')
_STEP = re.compile(rf"\.{_FIRST.pattern}")
# how sops begins a text that it encrypted, and where it keeps its own notes in an object
_ENCRYPTED = "ENC["
_SOPS = "sops"
_QUANTITIES = frozenset({"requests", "limits"})


@dataclass(frozen=True)
class Difference:
    """A field in which two objects differ; `left` or `right` is ABSENT where only the other has it.

    `variables` are the names of Flux's variables that make the difference, when nothing else does.
    """

    path: Path
    left: Any
    right: Any
    variables: frozenset[str] = frozenset()


def differences(left: Manifest, right: Manifest) -> list[Difference]:
    """The fields in which two objects of one identity differ, in the order of their paths.

    What sops encrypted is equal to anything that it encrypted: that it is there is all that can be seen.
    """
    found = _compare(left.value, right.value, (left.raw, right.raw), ())
    return [difference for difference in found if difference.path[0] != _SOPS]


def written(path: Path) -> str:
    """`path` as people write it: `spec.ports.http2.port`, `spec.rules[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def parse_path(text: str) -> Path:
    """What `written` wrote. Raises ValueError for anything else."""
    steps: list[str | int] = []
    at = 0
    while at < len(text) or not steps:
        match = _STEP.match(text, at) if steps else _FIRST.match(text)
        if match is None:
            raise ValueError(f"{text!r} is no path of a field")
        key, place, quoted = match.groups()
        steps.append(int(place) if place is not None else key or quoted)
        at = match.end()
    return tuple(steps)


def _compare(left: Any, right: Any, raw: tuple[Any, Any], path: Path) -> Iterator[Difference]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            sides = left.get(key, ABSENT), right.get(key, ABSENT)
            yield from _pair(*sides, _raws(raw, key, key), (*path, str(key)))
    elif isinstance(left, list) and isinstance(right, list):
        yield from _lists(left, right, raw, path)
    elif not _same(left, right, path):
        yield Difference(path, left, right, _causes(raw))


def _pair(left: Any, right: Any, raw: tuple[Any, Any], path: Path) -> Iterator[Difference]:
    if left is ABSENT or right is ABSENT:
        yield Difference(path, left, right, _causes(raw))
    else:
        yield from _compare(left, right, raw, path)


def _lists(left: list[Any], right: list[Any], raw: tuple[Any, Any], path: Path) -> Iterator[Difference]:
    """By the items' names where they have one each, so that one more at the top is one difference."""
    named = _places(left), _places(right)
    heres, theres = (
        (named[0], named[1])
        if named[0] is not None and named[1] is not None
        else (_numbered(left), _numbered(right))
    )
    for step in dict.fromkeys([*heres, *theres]):
        here, there = heres.get(step), theres.get(step)
        one = ABSENT if here is None else left[here]
        other = ABSENT if there is None else right[there]
        yield from _pair(one, other, _raws(raw, here, there), (*path, step))


def _places(items: list[Any]) -> dict[str | int, int] | None:
    """Name -> place of each item, when each has another name."""
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if not items or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return {str(name): place for place, name in enumerate(names)}


def _numbered(items: list[Any]) -> dict[str | int, int]:
    return {place: place for place in range(len(items))}


def _raws(raw: tuple[Any, Any], left: Any, right: Any) -> tuple[Any, Any]:
    return _inside(raw[0], left), _inside(raw[1], right)


def _inside(raw: Any, step: Any) -> Any:
    """The part of what was written; a variable may stand for a whole mapping or list, then all of it."""
    if isinstance(raw, Mapping):
        return raw.get(step, ABSENT)
    if isinstance(raw, list):
        return raw[step] if isinstance(step, int) and step < len(raw) else ABSENT
    return raw


def _causes(raw: tuple[Any, Any]) -> frozenset[str]:
    """The variables that make the difference: both environments have the same text there."""
    same = raw[0] == raw[1] and isinstance(raw[0], str)
    return variables_in(raw[0]) if same else frozenset()


def _same(left: Any, right: Any, path: Path) -> bool:
    if type(left) is type(right) and left == right:
        return True
    if all(isinstance(each, str) and each.startswith(_ENCRYPTED) for each in (left, right)):
        return True
    if len(path) > 1 and path[-2] in _QUANTITIES:
        # `1000m` and `1` are one cores
        try:
            return quantity(left) == quantity(right)
        except ValueError:
            return False
    return False
