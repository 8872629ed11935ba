"""Validation errors of pydantic as one SpecError that a person can act on."""

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from zave.errors import SpecError
from zave.spec.models import CROSS_CHECK, PARSED, Section
from zave.spec.shown import is_secret_name, shown
from zave.spec.yaml_loader import Document, KeyPath

MOST_SHOWN = 10

_LENGTHS = frozenset({"too_short", "too_long"})
_ABOUT_KEYS = frozenset({"extra_forbidden", "missing"})


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a document."""

    line: int
    brief: str
    value: str
    resolution: str | None


def explain(
    error: ValidationError, *, document: Document, model: type[Section], other: Callable[[], type[Section]]
) -> SpecError:
    """Everything that `error` holds against `document`, in the order of the file.

    `other` gives the model of the other platform, whose keys people mix in.
    """
    reader = _Reader(document=document, model=model, other=other)
    # a cross-check of the whole file is told by the place to change, hence the sort after expansion
    findings = sorted(
        (finding for detail in error.errors(include_url=False) for finding in reader.findings(detail)),
        key=lambda finding: finding.line,
    )
    first = findings[0]
    return SpecError(
        first.brief,
        where=f"{document.where}:{first.line}",
        details=_details(findings),
        resolution=first.resolution,
    )


def _details(findings: list[Finding]) -> str:
    if len(findings) == 1:
        return f"value: {findings[0].value}"
    lines = [f"line {finding.line}: {finding.brief}" for finding in findings[:MOST_SHOWN]]
    if len(findings) > MOST_SHOWN:
        lines.append(f"and {len(findings) - MOST_SHOWN} more")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Reader:
    """Turns one error of pydantic into findings."""

    document: Document
    model: type[Section]
    other: Callable[[], type[Section]]

    def findings(self, detail: ErrorDetails) -> Iterator[Finding]:
        path, kind = detail["loc"], detail["type"]
        context: dict[str, Any] = detail.get("ctx", {})
        if kind == "default_factory_not_called":
            # only says that another key has a finding of its own
            return
        if kind not in _ABOUT_KEYS and detail["input"] is None:
            resolution = "give it a value, or remove the key to have its default"
            yield self._finding(path, f"{dotted(path)} has no value", resolution)
        elif kind == CROSS_CHECK:
            for problem in context["problems"]:
                yield self._finding(problem.path, problem.brief, problem.resolution)
        elif kind == PARSED:
            yield self._finding(path, f"{dotted(path)}: {context['brief']}", context["resolution"])
        elif kind == "extra_forbidden":
            yield self._unknown_key(path)
        elif kind == "missing":
            resolution = f"add `{path[-1]}`: {_field(self.model, path)}"
            yield self._finding(path, f"{dotted(path)} is missing", resolution)
        elif kind in _LENGTHS:
            yield from self._wrong_length(path, detail, context)
        elif kind == "literal_error":
            yield self._wrong_choice(path, context["expected"], detail["input"])
        else:
            complaint, remedy = _complaint(detail, context)
            brief = f"{dotted(path)}: {shown(detail['input'])} {complaint}"
            yield self._finding(path, brief, f"{remedy}. {_field(self.model, path)}")

    def _finding(self, path: KeyPath, brief: str, resolution: str | None) -> Finding:
        return Finding(self.document.line_of(path), brief, self._written(path), resolution)

    def _written(self, path: KeyPath) -> str:
        place = self.document.places.get(path)
        if place is None:
            return "not set"
        if place.text is not None:
            # as it was written: 012 and 1.350 are numbers by now
            return shown(place.text) if place.text else "nothing"
        value: Any = self.document.value
        for step in path:
            value = value[step]
        return shown(value)

    def _unknown_key(self, path: KeyPath) -> Finding:
        *parent, key = path
        brief = f"unknown key {shown(key)} in {dotted(tuple(parent)) or 'the file'}"
        finding = self._finding(path, brief, self._instead_of(str(key), tuple(parent)))
        if is_secret_name(str(key)):
            return Finding(finding.line, brief, "(not shown: it may be a secret)", finding.resolution)
        return finding

    def _instead_of(self, key: str, parent: KeyPath) -> str:
        valid = _keys(self.model, parent)
        near = _nearest(key, valid)
        if near:
            return f"did you mean `{near}`?"
        other = self.other()
        if key in _keys(other, parent):
            return f"`{key}` belongs to platform {_platform(other)}, and this file is {_platform(self.model)}"
        homes = [dotted(home) for home in _sections(self.model) if home and key in _keys(self.model, home)]
        if homes:
            return f"`{key}` belongs under {' or '.join(homes)}"
        return f"valid keys here: {', '.join(valid)}"

    def _wrong_length(
        self, path: KeyPath, detail: ErrorDetails, context: dict[str, Any]
    ) -> Iterator[Finding]:
        least, most = context.get("min_length", 0), context.get("max_length")
        if most is None and len(detail["input"]) >= least:
            # pydantic counts accepted items only; each refused one has a finding of its own
            return
        bound = f"needs at least {least} item" if most is None else f"takes at most {most} items"
        yield self._finding(path, f"{dotted(path)} {bound}", f"change the list. {_field(self.model, path)}")

    def _wrong_choice(self, path: KeyPath, expected: str, value: object) -> Finding:
        choices = re.findall("'([^']*)'", expected)
        near = _nearest(str(value), choices)
        resolution = f"did you mean `{near}`?" if near else f"use one of them. {_field(self.model, path)}"
        brief = f"{dotted(path)}: {shown(value)} is not one of {', '.join(choices)}"
        return self._finding(path, brief, resolution)


def _complaint(detail: ErrorDetails, context: dict[str, Any]) -> tuple[str, str]:
    """What is wrong with a value, and how to write it."""
    least, most = context.get("ge"), context.get("le")
    told = {
        "bool_type": ("is not true or false", "write true or false, without quotes"),
        "int_type": ("is not a whole number", "write a whole number, without quotes"),
        "tuple_type": ("is not a list", "write a list, such as [a, b]"),
        "dict_type": ("is not a mapping of names to values", "write {name: value}"),
        "model_type": ("is not a mapping of keys to values", "write {key: value}"),
        "greater_than_equal": (f"is less than {least}", f"use {least} or more"),
        "less_than_equal": (f"is more than {most}", f"use {most} or less"),
    }
    return told.get(detail["type"], (f"is not accepted: {detail['msg']}", "see `zave schema`"))


def dotted(path: KeyPath) -> str:
    """`nodes.worker.count`, `ssh.keys[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step).strip('`')}"
    return text.removeprefix(".")


def _keys(model: type[Section], path: KeyPath) -> list[str]:
    section = _section(model, path)
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section(model: type[Section], path: KeyPath) -> type[Section] | None:
    """The model of the mapping at `path`."""
    section = model
    for step in path:
        annotations = {field.alias or name: field.annotation for name, field in section.model_fields.items()}
        inner = annotations.get(str(step))
        if not (isinstance(inner, type) and issubclass(inner, Section)):
            return None
        section = inner
    return section


def _sections(model: type[Section], path: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every mapping of `model`, the outer ones first."""
    yield path
    for key in _keys(model, path):
        if _section(model, (*path, key)):
            yield from _sections(model, (*path, key))


def _field(model: type[Section], path: KeyPath) -> str:
    """What the field at `path` is for."""
    named = path if isinstance(path[-1], str) else path[:-1]
    section = _section(model, named[:-1])
    fields = {field.alias or name: field for name, field in section.model_fields.items()} if section else {}
    field = fields.get(str(named[-1]))
    return (field.description or "") if field else ""


def _platform(model: type[Section]) -> str:
    return str(model.model_fields["platform"].annotation.__args__[0])  # type: ignore[union-attr]


def _nearest(text: str, words: list[str]) -> str | None:
    # how people miss: case, and underscores for hyphens or the other way round
    plain = {word.lower().replace("_", "-"): word for word in words}
    found = difflib.get_close_matches(text[:64].lower().replace("_", "-"), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None
