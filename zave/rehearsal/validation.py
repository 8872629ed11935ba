"""What the provider, not Terraform's core, refuses in a configuration, with the place of it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zave.rehearsal.schema import Field, Kind
from zave.rehearsal.values import UNKNOWN, Path, find


@dataclass(frozen=True)
class Problem:
    """Something wrong at `path`, in a heading and a sentence or two."""

    summary: str
    detail: str
    path: Path = ()


def problems(kind: Kind, config: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong in `config`. Unknown values are never wrong."""
    return [
        *_read_only(kind.fields, config, ()),
        *_enums(kind, config),
        *_limits(kind, config),
        *_conflicts(kind, config),
    ]


def _read_only(fields: Mapping[str, Field], config: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for name, field in fields.items():
        value = config.get(name)
        if value is None or value is UNKNOWN:
            # an unknown is an expression that was set, but which may still turn out null
            continue
        here = (*path, name)
        if field.computed and not field.optional:
            yield Problem(
                summary="Invalid Configuration for Read-Only Attribute",
                detail=f"{_dotted(here)} is decided by the provider and cannot be set. "
                "Remove the line that sets it.",
                path=here,
            )
        elif field.nesting:
            for key, item in _elements(field, value):
                yield from _read_only(field.fields, item, (*here, *key))


def _elements(field: Field, value: Any) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if field.nesting in ("single", "group"):
        yield (), value
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        if isinstance(item, dict):
            yield (key,), item


def _enums(kind: Kind, config: Mapping[str, Any]) -> Iterator[Problem]:
    for pattern, allowed in kind.behaviour.enums.items():
        for path, value in find(config, pattern):
            if value is None or value is UNKNOWN or value in allowed:
                continue
            choices = ", ".join(repr(choice) for choice in allowed)
            yield Problem(
                summary="Invalid Attribute Value",
                detail=f"{_dotted(path)} is {value!r}; it must be one of {choices}.",
                path=path,
            )


def _limits(kind: Kind, config: Mapping[str, Any]) -> Iterator[Problem]:
    limits = kind.behaviour.limits
    for pattern, (low, high) in limits.numbers.items():
        for path, number in _known(config, pattern):
            if not low <= float(number) <= high:
                yield _refused(path, f"{number}", f"between {low:g} and {high:g}")
    for pattern, (least, most) in limits.lengths.items():
        for path, value in _known(config, pattern):
            if not least <= len(value) <= most:
                yield _refused(path, f"{len(value)} characters long", f"{least} to {most} characters long")
    for pattern, form in limits.patterns.items():
        for path, value in _known(config, pattern):
            if not re.fullmatch(form, str(value)):
                yield _refused(path, repr(value), f"of the form {form}")


def _known(config: Mapping[str, Any], pattern: str) -> Iterator[tuple[Path, Any]]:
    return (
        (path, value) for path, value in find(config, pattern) if value is not None and value is not UNKNOWN
    )


def _refused(path: Path, given: str, wanted: str) -> Problem:
    return Problem(
        summary="Invalid Attribute Value",
        detail=f"{_dotted(path)} is {given}; it must be {wanted}.",
        path=path,
    )


def _conflicts(kind: Kind, config: Mapping[str, Any]) -> Iterator[Problem]:
    for group in kind.behaviour.conflicts:
        present = [
            path
            for pattern in group
            for path, value in find(config, pattern)
            if value is not None and value is not UNKNOWN and value != []
        ]
        if len(present) > 1:
            together = " and ".join(_dotted(path) for path in present)
            yield Problem(
                summary="Invalid Attribute Combination",
                detail=f"{together} cannot be set together. Keep one of them.",
                path=present[-1],
            )


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
