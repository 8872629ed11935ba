"""Computed values at apply: realistic identifiers and addresses, by the rules of the catalogue."""

import copy
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from zave.rehearsal import leases
from zave.rehearsal.schema import Field, Kind
from zave.rehearsal.values import UNKNOWN, assign, at, find, first, has_unknown


class Surroundings(Protocol):
    """What rules may ask the world."""

    def counter(self, name: str) -> int:
        """The next number of that name."""
        ...

    def lookup(self, type: str, attribute: str, value: Any) -> Any:  # noqa: A002 - the world's own name
        """The thing of `type` whose `attribute` has `value`, or None."""
        ...


Source = Mapping[str, Any]
_PLACEHOLDER = re.compile(r"\{([a-z0-9_.*]+)\}")


def fill(
    kind: Kind, planned: Mapping[str, Any], world: Surroundings, *, existing: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`planned` without a single unknown.

    What the world already says about the thing (`existing`) comes first, then the rules in their
    order, which is the order of dependency, then a plain value of the right type.
    """
    values: dict[str, Any] = copy.deepcopy(dict(planned))
    for rule in kind.behaviour.computed:
        for path, value in list(find(values, rule.path)):
            if value is UNKNOWN:
                known = at(existing, path) if existing is not None else None
                if known is None:
                    known = _first(rule.sources, kind, values, world)
                if known is not None:
                    assign(values, path, known)
    if has_unknown(values):
        return {
            name: _settled(field, values[name], f"{kind.name}.{name}") for name, field in kind.fields.items()
        }
    return values


def text(template: str, values: Mapping[str, Any]) -> str | None:
    """`template` with its `{places}` filled in, or None when one of them has no value."""
    missing = False

    def fill_in(match: re.Match[str]) -> str:
        nonlocal missing
        value = first(values, match[1])
        missing = missing or value is None or value is UNKNOWN
        return str(value)

    result = _PLACEHOLDER.sub(fill_in, template)
    return None if missing else result


def _first(sources: tuple[Source, ...], kind: Kind, values: Mapping[str, Any], world: Surroundings) -> Any:
    for source in sources:
        context: Mapping[str, Any] = values
        if "lookup" in source:
            type_, attribute, template = source["lookup"]
            wanted = text(template, values)
            thing = world.lookup(type_, attribute, wanted) if wanted is not None else None
            if thing is None:
                continue
            context = {**values, "found": thing.attributes}
        name = next(name for name in _SOURCES if name in source)
        value = _SOURCES[name](source, kind, context, world)
        if value is not None:
            return value
    return None


def _value(source: Source, _kind: Kind, _values: Mapping[str, Any], _world: Surroundings) -> Any:
    return source["value"]


def _template(source: Source, _kind: Kind, values: Mapping[str, Any], _world: Surroundings) -> Any:
    return text(source["template"], values)


def _copy(source: Source, _kind: Kind, values: Mapping[str, Any], _world: Surroundings) -> Any:
    value = first(values, source["copy"])
    return None if value is UNKNOWN else value


def _counter(source: Source, _kind: Kind, _values: Mapping[str, Any], world: Surroundings) -> Any:
    number = world.counter(source["counter"])
    return f"{source['prefix']}{number}" if "prefix" in source else number


def _uuid(source: Source, kind: Kind, _values: Mapping[str, Any], world: Surroundings) -> Any:
    # from a counter, not from chance: one history of a world gives one set of identifiers
    number = world.counter(source["uuid"])
    digest = hashlib.sha256(f"{kind.name}/{number}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _digest(source: Source, _kind: Kind, values: Mapping[str, Any], _world: Surroundings) -> Any:
    joined = "".join(str(first(values, path) or "") for path in source["digest"])
    return hashlib.sha256(joined.encode()).hexdigest()[: source["length"]]


def _size(source: Source, _kind: Kind, values: Mapping[str, Any], _world: Surroundings) -> Any:
    # a file system gives each file whole blocks
    block: int = source["block"]
    lengths = [len(str(first(values, path) or "").encode()) for path in source["size"]]
    return source["base"] + sum(-(-length // block) * block for length in lengths)


def _leases(_source: Source, _kind: Kind, values: Mapping[str, Any], world: Surroundings) -> Any:
    return leases.interfaces(first(values, "found") or {}, world)


_SOURCES: Mapping[str, Callable[[Source, Kind, Mapping[str, Any], Surroundings], Any]] = {
    "value": _value,
    "template": _template,
    "copy": _copy,
    "counter": _counter,
    "uuid": _uuid,
    "digest": _digest,
    "size": _size,
    "leases": _leases,
}


def _settled(field: Field, value: Any, where: str) -> Any:
    """`value` with a plain value of the right type in place of each unknown that no rule covers."""
    if value is UNKNOWN:
        return _plain(field, where)
    if not field.nesting or not has_unknown(value):
        return _plain(field, where) if has_unknown(value) else value
    if field.nesting in ("single", "group"):
        return {name: _settled(child, value[name], f"{where}.{name}") for name, child in field.fields.items()}
    single = Field(name=field.name, nesting="single", fields=field.fields)
    if isinstance(value, dict):
        return {key: _settled(single, item, f"{where}.{key}") for key, item in value.items()}
    return [_settled(single, item, f"{where}.{index}") for index, item in enumerate(value)]


def _plain(field: Field, where: str) -> Any:
    if field.nesting:
        return {"list": [], "set": [], "map": {}}.get(field.nesting)
    if isinstance(field.type, list):
        return {} if field.type[0] == "map" else None if field.type[0] in ("object", "tuple") else []
    token = hashlib.sha256(f"{where}/{json.dumps(field.type)}".encode()).hexdigest()[:17]
    return {"number": 0, "bool": False}.get(field.type, f"{field.name}-{token}")
