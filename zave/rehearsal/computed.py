"""Computed values at apply: realistic identifiers and addresses, by the rules of the catalogue."""

import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from zave.clock import Clock
from zave.rehearsal import leases, policies
from zave.rehearsal.schema import Field, Kind
from zave.rehearsal.templates import Identifiers, text
from zave.rehearsal.values import UNKNOWN, assign, at, find, first, has_unknown


class Surroundings(Protocol):
    """What rules may ask the world."""

    def counter(self, name: str) -> int:
        """The next number of that name."""
        ...

    def lookup(self, type: str, attribute: str, value: Any) -> Any:  # noqa: A002 - the world's own name
        """The thing of `type` whose `attribute` has `value`, or None."""
        ...

    @property
    def clock(self) -> Clock:
        """The virtual clock, for moments of creation."""
        ...


Source = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = {}


def fill(
    kind: Kind,
    planned: Mapping[str, Any],
    world: Surroundings,
    *,
    existing: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] = _NOTHING,
) -> dict[str, Any]:
    """`planned` without a single unknown.

    What the world already says about the thing (`existing`) comes first, except for what each update
    renews, then the rules in their order, which is the order of dependency, then a plain value of the
    right type. `about` holds what rules may refer to besides the thing's own values.
    """
    values: dict[str, Any] = copy.deepcopy(dict(planned))
    making = _Making(kind, values, world, {**about, "prior": existing or {}})
    for rule in kind.behaviour.computed:
        for path, value in list(find(values, rule.path)):
            if value is UNKNOWN:
                kept = existing is not None and rule.path not in kind.behaviour.renewed
                known = at(existing, path) if kept else None
                if known is None:
                    known = making.first_of(rule.sources)
                if known is not None:
                    assign(values, path, known)
    if has_unknown(values):
        return {
            name: _settled(field, values[name], f"{kind.name}.{name}", kind.behaviour.bare)
            for name, field in kind.fields.items()
        }
    return {name: values[name] for name in kind.fields}


class _Making:
    """A thing whose values are being found."""

    def __init__(
        self, kind: Kind, values: Mapping[str, Any], world: Surroundings, about: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.world = world
        self.identifiers = Identifiers(kind.name, world)
        self._own = values
        self._about = about
        self._found: Mapping[str, Any] = _NOTHING

    @property
    def values(self) -> Mapping[str, Any]:
        """What templates can name now."""
        return {**self._about, **self._own, **self._found}

    def text(self, template: str) -> str | None:
        """A template with this thing's values."""
        return text(template, self.values, self.identifiers)

    def first_of(self, sources: tuple[Source, ...]) -> Any:
        """The value of the first source that has one."""
        for source in sources:
            if "if" in source and not first(self.values, source["if"]):
                continue
            if not self._look_up(source):
                continue
            name = next(name for name in _SOURCES if name in source)
            value = _SOURCES[name](source, self)
            if value is not None:
                return value
        return None

    def _look_up(self, source: Source) -> bool:
        """Find the other thing that a source is about; whether there is one, or none is needed."""
        self._found = _NOTHING
        if "lookup" in source:
            type_, attribute, template = source["lookup"]
            wanted = self.text(template)
            thing = self.world.lookup(type_, attribute, wanted) if wanted is not None else None
            if thing is None:
                return False
            self._found = {"found": thing.attributes}
        return True


def _value(source: Source, _making: _Making) -> Any:
    return source["value"]


def _template(source: Source, making: _Making) -> Any:
    return making.text(source["template"])


def _structure(source: Source, making: _Making) -> Any:
    return _filled(source["structure"], making)


def _filled(shape: Any, making: _Making) -> Any:
    if isinstance(shape, dict):
        return {name: _filled(value, making) for name, value in shape.items()}
    if isinstance(shape, list):
        return [_filled(value, making) for value in shape]
    return making.text(shape) if isinstance(shape, str) else shape


def _each(source: Source, making: _Making) -> Any:
    return [
        text(source["template"], {**making.values, "item": item})
        for _, item in find(making.values, source["each"])
    ]


def _copy(source: Source, making: _Making) -> Any:
    value = first(making.values, source["copy"])
    return None if value is UNKNOWN else value


def _next(source: Source, making: _Making) -> Any:
    return (first(making.values, f"prior.{source['next']}") or 0) + 1


def _counter(source: Source, making: _Making) -> Any:
    number = making.world.counter(source["counter"])
    return f"{source['prefix']}{number}" if "prefix" in source else number


def _uuid(source: Source, making: _Making) -> Any:
    # from a counter, not from chance: one history of a world gives one set of identifiers
    number = making.world.counter(source["uuid"])
    digest = hashlib.sha256(f"{making.kind.name}/{number}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _digest(source: Source, making: _Making) -> Any:
    joined = "".join(str(first(making.values, path) or "") for path in source["digest"])
    return hashlib.sha256(joined.encode()).hexdigest()[: source["length"]]


def _size(source: Source, making: _Making) -> Any:
    # a file system gives each file whole blocks
    block: int = source["block"]
    lengths = [len(str(first(making.values, path) or "").encode()) for path in source["size"]]
    return source["base"] + sum(-(-length // block) * block for length in lengths)


def _leases(_source: Source, making: _Making) -> Any:
    return leases.interfaces(first(making.values, "found") or {}, making.world)


def _table(source: Source, making: _Making) -> Any:
    # what a table does not know has the row `*`
    name, template = source["table"]
    table: Mapping[str, Any] = making.values["tables"][name]
    row = _filled(table.get(making.text(template) or "", table.get("*")), making)
    for form, places in source.get("without", {}).items():
        unwanted = [value for _, value in find(making.values, places)]
        row = [item for item in row if text(form, {"item": item}) not in unwanted]
    return row


def _policy(source: Source, making: _Making) -> Any:
    return policies.FORMS[source["policy"]](policies.document(making.values))


_SOURCES: Mapping[str, Callable[[Source, _Making], Any]] = {
    "value": _value,
    "each": _each,
    "template": _template,
    "structure": _structure,
    "copy": _copy,
    "next": _next,
    "counter": _counter,
    "uuid": _uuid,
    "digest": _digest,
    "size": _size,
    "leases": _leases,
    "table": _table,
    "policy": _policy,
}


def _settled(field: Field, value: Any, where: str, bare: str) -> Any:
    """`value` with a plain value of the right type in place of each unknown that no rule covers."""
    if value is UNKNOWN:
        return _plain(field, where, bare)
    if not field.nesting or not has_unknown(value):
        return _plain(field, where, bare) if has_unknown(value) else value
    if field.nesting in ("single", "group"):
        return {
            name: _settled(child, value[name], f"{where}.{name}", bare)
            for name, child in field.fields.items()
        }
    single = Field(name=field.name, nesting="single", fields=field.fields)
    if isinstance(value, dict):
        return {key: _settled(single, item, f"{where}.{key}", bare) for key, item in value.items()}
    return [_settled(single, item, f"{where}.{index}", bare) for index, item in enumerate(value)]


def _plain(field: Field, where: str, bare: str) -> Any:
    if bare == "null":
        return None
    if field.nesting:
        return {"list": [], "set": [], "map": {}}.get(field.nesting)
    if isinstance(field.type, list):
        return {} if field.type[0] == "map" else None if field.type[0] in ("object", "tuple") else []
    if bare == "empty" and field.type == "string":
        return ""
    token = hashlib.sha256(f"{where}/{json.dumps(field.type)}".encode()).hexdigest()[:17]
    return {"number": 0, "bool": False}.get(field.type, f"{field.name}-{token}")
