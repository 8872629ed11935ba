"""`environments/parity.yaml`: what may differ between environments, each with a reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from zave.errors import SpecError
from zave.gitops.compare import Difference, Path, parse_path
from zave.gitops.manifests import Identity
from zave.spec.yaml_loader import Document, KeyPath, parse_yaml

PARITY_FILE = "environments/parity.yaml"

_SECTIONS = ("always", "platforms")
_KINDS: Mapping[str, frozenset[str]] = {
    "variables": frozenset({"name", "reason"}),
    "fields": frozenset({"object", "path", "reason"}),
    "objects": frozenset({"object", "only", "reason"}),
}


@dataclass(frozen=True)
class Declaration:
    """One thing that may differ, and why. `line` is its line in the file.

    A variable (`variable`), a field and what is below it (`object` and `path`), or objects that one side
    alone has (`object`; `only` names its platform, None either). `object` may hold `*`.
    """

    line: int
    reason: str
    variable: str | None = None
    object: str | None = None
    path: Path = ()
    only: str | None = None

    def __str__(self) -> str:
        """What is declared, without the reason."""
        if self.variable is not None:
            return f"variable {self.variable}"
        from zave.gitops.compare import written

        return f"{self.object} {written(self.path)}" if self.path else f"{self.object} only in {self.only}"

    def allows_field(self, identity: Identity, difference: Difference) -> bool:
        """Whether the field, or one around it, is declared."""
        own, found = self.path, difference.path
        return (
            bool(own)
            and fnmatchcase(str(identity), str(self.object))
            and len(own) <= len(found)
            and all(_fits(step, pattern) for step, pattern in zip(found, own, strict=False))
        )

    def allows_object(self, identity: Identity, *, platform: str) -> bool:
        """Whether an object that only an environment of `platform` has is declared."""
        return (
            self.object is not None
            and not self.path
            and self.only in (None, platform)
            and fnmatchcase(str(identity), self.object)
        )


def read_declarations(data: bytes, *, where: str, platforms: Sequence[str]) -> tuple[Declaration, ...]:
    """What `data`, the text of a parity.yaml, allows between environments of these two platforms.

    The part `platforms` counts between different platforms only. Raises SpecError with `file:line`.
    """
    document = parse_yaml(data, where=where)
    top = _mapping(document, (), document.value, frozenset(_SECTIONS))
    found: list[Declaration] = []
    for section in _SECTIONS:
        if section in top and (section == "always" or len(set(platforms)) > 1):
            parts = _mapping(document, (section,), top[section], frozenset(_KINDS))
            for kind in parts:
                found += _entries(document, (section, kind), parts[kind])
    return tuple(found)


def _entries(document: Document, at: KeyPath, value: Any) -> Iterator[Declaration]:
    kind = str(at[-1])
    if not isinstance(value, list):
        raise _wrong(document, at, f"{kind} is no list")
    for index, entry in enumerate(value):
        here = (*at, index)
        fields = _mapping(document, here, entry, _KINDS[kind])
        for name in _KINDS[kind]:
            text = fields.get(name)
            if not isinstance(text, str) or not text.strip():
                raise _wrong(document, here, f"an entry of {kind} has no {name}")
        yield _declaration(document, here, fields)


def _declaration(document: Document, at: KeyPath, fields: Mapping[str, str]) -> Declaration:
    line, reason = document.line_of(at), fields["reason"]
    if "name" in fields:
        return Declaration(line, reason, variable=fields["name"])
    if "only" in fields:
        return Declaration(line, reason, object=fields["object"], only=fields["only"])
    try:
        path = parse_path(fields["path"])
    except ValueError as error:
        raise _wrong(document, (*at, "path"), str(error)) from error
    return Declaration(line, reason, object=fields["object"], path=path)


def _mapping(document: Document, at: KeyPath, value: Any, keys: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(document, at, "there must be keys with values")
    for key in value:
        if key not in keys:
            raise _wrong(document, (*at, key), f"unknown key `{key}`", f"use {', '.join(sorted(keys))}")
    return value


def _wrong(document: Document, at: KeyPath, brief: str, resolution: str | None = None) -> SpecError:
    return SpecError(
        brief,
        where=f"{document.where}:{document.line_of(at)}",
        resolution=resolution or "docs/parity.md shows the form of this file",
    )


def _fits(step: str | int, pattern: str | int) -> bool:
    return fnmatchcase(str(step), str(pattern))
