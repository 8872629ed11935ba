"""What a plan says: unknowns, defaults, what forces a replacement, and what a read shows.

Terraform plans again at apply with newly known values, so everything here is a pure function.
"""

from collections.abc import Mapping
from typing import Any

from zave.rehearsal.schema import Behaviour, Field, Kind
from zave.rehearsal.values import UNKNOWN, Path, assign, at, find

Object = dict[str, Any]

# a change of these alone renews nothing
_NO_NEWS = frozenset({"tags", "tags_all", "timeouts"})


def plan(kind: Kind, *, prior: Object | None, proposed: Object) -> Object:
    """The planned state.

    A computed value is unknown only where there was no object before: for all others Terraform has
    already carried the prior value over into `proposed`. What each update renews is unknown again as
    soon as anything else changes.
    """
    planned = _object(kind.fields, proposed, prior, (kind.behaviour, ""))
    if prior is not None and any(prior[name] != planned[name] for name in planned.keys() - _NO_NEWS):
        for name, condition in kind.behaviour.renewed.items():
            if condition is None or planned[condition]:
                planned[name] = UNKNOWN
    return planned


def _object(
    fields: Mapping[str, Field], proposed: Object, prior: Object | None, place: tuple[Behaviour, str]
) -> Object:
    behaviour, path = place
    return {
        name: _value(field, proposed.get(name), prior, (behaviour, f"{path}.{name}" if path else name))
        for name, field in fields.items()
    }


def _value(field: Field, value: Any, parent: Object | None, place: tuple[Behaviour, str]) -> Any:
    if field.write_only or value is UNKNOWN:
        return None if field.write_only else UNKNOWN
    if not value and not isinstance(value, bool | int | float | str):
        return _absent(field, value, parent, place)
    if field.nesting is None:
        return value
    return _nested(field, value, parent.get(field.name) if parent else None, place)


def _absent(field: Field, value: Any, parent: Object | None, place: tuple[Behaviour, str]) -> Any:
    behaviour, path = place
    prior = parent.get(field.name) if parent is not None else None
    if path in behaviour.defaults and behaviour.legacy_type_system and not field.computed:
        # Terraform refuses this unless the old type system excuses it: a default for what is not
        # computed, or a block that the provider adds and then keeps
        return prior if field.block and prior else _shaped(field, behaviour.defaults[path])
    if parent is not None or not field.computed or value is not None:
        return value
    return behaviour.defaults.get(path, UNKNOWN)


def _nested(field: Field, value: Any, prior: Any, place: tuple[Behaviour, str]) -> Any:
    behaviour, path = place
    if field.nesting in ("single", "group"):
        return _object(field.fields, value, prior if isinstance(prior, dict) else None, place)
    inside = (behaviour, f"{path}.*")
    if field.nesting == "map":
        before = prior if isinstance(prior, dict) else {}
        return {key: _element(field, item, before.get(key), inside) for key, item in value.items()}
    known = prior if isinstance(prior, list) else []
    if field.nesting == "set":
        # elements have no place to be compared by: one that equals a prior one is that one
        return [_element(field, item, item if item in known else None, inside) for item in value]
    return [
        _element(field, item, known[index] if index < len(known) else None, inside)
        for index, item in enumerate(value)
    ]


def _element(field: Field, item: Any, prior: Any, place: tuple[Behaviour, str]) -> Any:
    if not isinstance(item, dict):
        return item
    return _object(field.fields, item, prior if isinstance(prior, dict) else None, place)


def replaced_by(kind: Kind, *, prior: Object, planned: Object) -> list[Path]:
    """The places for whose sake `planned` needs a new thing instead of `prior`."""
    paths: list[Path] = []
    for pattern in kind.behaviour.force_new:
        before, after = dict(find(prior, pattern)), dict(find(planned, pattern))
        for path in sorted(before.keys() | after.keys(), key=str):
            if before.get(path) != after.get(path):
                paths.append(path)
    for pattern in kind.behaviour.removal:
        after = dict(find(planned, pattern))
        paths += [path for path, value in find(prior, pattern) if value and not _present(after.get(path))]
    return paths


def _present(value: Any) -> bool:
    return value is UNKNOWN or bool(value)


def message_path(kind: Kind, path: Path) -> Path:
    """`path` as far as the protocol can say it: an element of a set has no key there."""
    fields = kind.fields
    within: Field | None = None
    for index, step in enumerate(path):
        if isinstance(step, int) and within is not None and within.nesting == "set":
            return path[:index]
        if isinstance(step, str) and step in fields:
            within, fields = fields[step], fields[step].fields
    return path


def shaped(fields: Mapping[str, Field], value: Object) -> Object:
    """`value` with exactly the names of the schema: missing ones null, strange ones dropped."""
    return {name: _shaped(field, value.get(name)) for name, field in fields.items()}


def _shaped(field: Field, value: Any) -> Any:
    if field.nesting is None or value is UNKNOWN:
        return value
    if value is None:
        # an absent block is an empty collection, an absent attribute is null
        return {"list": [], "set": [], "map": {}}.get(field.nesting) if field.block else None
    if field.nesting in ("single", "group"):
        return shaped(field.fields, value)
    if isinstance(value, dict):
        return {key: shaped(field.fields, item) for key, item in value.items()}
    return [shaped(field.fields, item) for item in value]


def refreshed(kind: Kind, *, state: Object, actual: Object) -> Object:
    """What a read makes of `state` when the world holds `actual`.

    What the configuration left out stays null, as libvirt's provider has it: XML omission and user
    omission differ. `kept` places are the configuration's, whatever the world says.
    """
    result = _seen(kind.fields, state, shaped(kind.fields, actual))
    for pattern in kind.behaviour.kept:
        for path, _ in list(find(result, pattern)):
            assign(result, path, at(state, path))
    return result


def _seen(fields: Mapping[str, Field], state: Object, actual: Object) -> Object:
    seen: Object = {}
    for name, field in fields.items():
        known, real = state.get(name), actual.get(name)
        if known is None and not field.computed:
            seen[name] = None
        elif isinstance(known, dict) and isinstance(real, dict) and field.nesting in ("single", "group"):
            seen[name] = _seen(field.fields, known, real)
        elif isinstance(known, list) and isinstance(real, list) and field.nesting == "list":
            seen[name] = [
                _seen(field.fields, known[index], item) if index < len(known) else item
                for index, item in enumerate(real)
            ]
        else:
            seen[name] = real
    return seen


def imported(kind: Kind, actual: Object) -> Object:
    """What a read shows right after an import, when no configuration has been seen yet."""
    result = shaped(kind.fields, actual)
    if "timeouts" in result:
        # how long somebody is willing to wait is nothing that a platform knows
        result["timeouts"] = None
    imports = kind.behaviour.imports
    if imports is None:
        return result
    if imports.reads is not None:
        result = shaped(kind.fields, {name: result[name] for name in result if name in imports.reads})
    for pattern in imports.blank:
        for path, _ in list(find(result, pattern)):
            assign(result, path, None)
    return result


def not_in_place(kind: Kind, *, actual: Object, planned: Object) -> list[str]:
    """Top-level attributes that differ from the world's although no update can change them."""
    allowed = kind.behaviour.in_place
    if allowed is None:
        return []
    real = shaped(kind.fields, actual)
    return [
        name
        for name, field in kind.fields.items()
        if name not in allowed and planned.get(name) not in (real[name], UNKNOWN) and not field.write_only
    ]
