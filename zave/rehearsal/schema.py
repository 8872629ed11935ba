"""What the simulated provider knows, as data: schemas and behaviour, read from `catalogue/`.

`<name>.json` has the format of `terraform providers schema -json`; `<name>.behaviour.json` says what
a schema cannot: what is force-new, unique, importable, and how computed values come about. Nested
attributes and nested blocks both become a `Field` with children, so that planning, validation and
reading need one recursion only.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

from zave.rehearsal import shelf

Nesting = Literal["single", "list", "set", "map", "group"]

FOLDER = shelf.FOLDER
names = shelf.names


class CatalogueError(Exception):
    """A catalogue is missing or wrong; the message names the file and the place in it."""


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute or a nested block. `fields` are its children where `nesting` is set.

    `type` is Terraform's type constraint as in JSON (`"string"`, `["list", "string"]`), None with
    `nesting`. `block` tells a nested block from a nested attribute.
    """

    name: str
    type: Any = None
    nesting: Nesting | None = None
    fields: Mapping[str, "Field"] = field(default_factory=dict)
    block: bool = False
    required: bool = False
    optional: bool = False
    computed: bool = False
    sensitive: bool = False
    write_only: bool = False
    deprecated: bool = False
    min_items: int = 0
    max_items: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one computed value comes about at apply: `sources` are tried in order."""

    path: str
    sources: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Import:
    """How a thing is imported: by the value of `attribute`, or by what one of the templates `by` makes.

    The read that follows fills `reads` (None: everything) but never `blank`, which the real provider
    cannot know.
    """

    attribute: str
    by: tuple[str, ...] = ()
    reads: frozenset[str] | None = None
    blank: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold before a create: one of `require` is set.

    With `reference`, each value at `require[0]` names a thing of that type by that attribute, or is in
    `accepted`.
    """

    require: tuple[str, ...]
    summary: str
    detail: str
    reference: tuple[str, str] | None = None
    accepted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Guard:
    """What keeps a thing from being deleted: a recorded attribute with one of these values."""

    path: str
    values: tuple[Any, ...]
    summary: str
    unless: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value may be: numbers between two bounds, texts of a length, texts of a form."""

    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lengths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a schema does not say about a resource type or a data source.

    Paths are dotted, `*` stands for each element. `name` is a path or, with braces, a template. Of the
    templates in `unique` the first whose every place is known counts; a twin is refused with `exists`,
    or changed when a create `overwrites`. What is under `removal` forces a new thing when it vanishes, what
    is under `force_new` when it changes. `in_place` are the top-level attributes that an update may
    change (None: all); what is `renewed` is made anew by each update, on the condition that its value
    names; what is `unannounced` each update changes although its plan said otherwise. `kept` are never
    read back from the world. A computed value without a rule is null or empty when `bare` says so.
    `lookup` belongs to data sources: the type, then pairs of (attribute of the thing, attribute of the
    data source).
    """

    name: str = "name"
    unique: tuple[str, ...] = ()
    exists: str = ""
    overwrites: bool = False
    bare: Literal["", "null", "empty"] = ""
    local: bool = False
    legacy_type_system: bool = False
    force_new: tuple[str, ...] = ()
    removal: tuple[str, ...] = ()
    in_place: frozenset[str] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    enums: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    renewed: Mapping[str, str | None] = field(default_factory=dict)
    unannounced: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    checks: tuple[Check, ...] = ()
    imports: Import | None = None
    kept: tuple[str, ...] = ()
    computed: tuple[Rule, ...] = ()
    lookup: tuple[str, tuple[tuple[str, str], ...]] | None = None
    missing: tuple[str, str] = ("Not Found", "")


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type, a data source or the provider's own configuration."""

    name: str
    version: int
    fields: Mapping[str, Field]
    behaviour: Behaviour


@dataclass(frozen=True)
class Catalogue:
    """One provider: its address (`registry.terraform.io/NAMESPACE/NAME`), version and types."""

    name: str
    address: str
    version: str
    schema: Mapping[str, Any]
    behaviour: Mapping[str, Any]

    @cached_property
    def provider(self) -> Kind:
        """The provider's configuration."""
        return _kind("provider", self.schema.get("provider", {}), {})

    @cached_property
    def resources(self) -> Mapping[str, Kind]:
        """Resource types by name."""
        return self._kinds("resource_schemas", "resources", self.behaviour.get("common", {}))

    @cached_property
    def data_sources(self) -> Mapping[str, Kind]:
        """Data sources by name."""
        return self._kinds("data_source_schemas", "data_sources", {})

    @property
    def tables(self) -> Mapping[str, Any]:
        """What rules look up by name."""
        tables: Mapping[str, Any] = self.behaviour.get("tables", {})
        return tables

    @property
    def account(self) -> bool:
        """Whether the provider block names a region and tags that all resources share."""
        return bool(self.behaviour.get("account", False))

    def _kinds(self, schemas: str, behaviours: str, common: Mapping[str, Any]) -> Mapping[str, Kind]:
        found: Mapping[str, Any] = self.schema.get(schemas, {})
        known: Mapping[str, Any] = self.behaviour.get(behaviours, {})
        unknown = set(known) - set(found)
        if unknown:
            raise CatalogueError(
                f"{self.name}.behaviour.json: {behaviours}: no schema of {sorted(unknown)[0]}"
            )
        return _Kinds(found, known, common)


class _Kinds(Mapping[str, Kind]):
    """Kinds that are made when they are asked for: a provider has many, and a run few."""

    def __init__(
        self, schemas: Mapping[str, Any], behaviours: Mapping[str, Any], common: Mapping[str, Any]
    ) -> None:
        self._schemas = schemas
        self._behaviours = behaviours
        self._common = common
        self._made: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._made:
            behaviour = {**self._common, **self._behaviours.get(name, {})}
            self._made[name] = _kind(name, self._schemas[name], behaviour)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemas)

    def __len__(self) -> int:
        return len(self._schemas)


def load(name: str, *, folder: Path = FOLDER) -> Catalogue:
    """The catalogue `name`. Raises CatalogueError when its files are missing or do not fit."""
    schema = _read(folder / f"{name}.json")
    behaviour = _read(folder / f"{name}.behaviour.json")
    address = behaviour.get("address", "")
    providers = schema.get("provider_schemas", {})
    if address not in providers:
        raise CatalogueError(f"{name}.json: no provider_schemas of {address!r}")
    return Catalogue(
        name=name,
        address=address,
        version=behaviour["version"],
        schema=providers[address],
        behaviour=behaviour,
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise CatalogueError(f"no catalogue file {path.name}: {error.strerror}") from error
    except ValueError as error:
        raise CatalogueError(f"{path.name}: not JSON: {error}") from error
    return cast(Mapping[str, Any], document)


def _kind(name: str, schema: Mapping[str, Any], behaviour: Mapping[str, Any]) -> Kind:
    return Kind(
        name=name,
        version=schema.get("version", 0),
        fields=_block_fields(schema.get("block", {}), name),
        behaviour=_behaviour(behaviour, name),
    )


def _block_fields(block: Mapping[str, Any], where: str) -> dict[str, Field]:
    fields = _attributes(block.get("attributes", {}), where)
    for name, nested in block.get("block_types", {}).items():
        fields[name] = Field(
            name=name,
            nesting=nested["nesting_mode"],
            fields=_block_fields(nested["block"], f"{where}.{name}"),
            block=True,
            # a block may always be left out as far as the schema's words go; min_items says more
            optional=True,
            deprecated=nested["block"].get("deprecated", False),
            min_items=nested.get("min_items", 0),
            max_items=nested.get("max_items", 0),
            description=nested["block"].get("description", ""),
        )
    return fields


def _attributes(attributes: Mapping[str, Any], where: str) -> dict[str, Field]:
    return {name: _attribute(name, attribute, f"{where}.{name}") for name, attribute in attributes.items()}


def _attribute(name: str, attribute: Mapping[str, Any], where: str) -> Field:
    nested = attribute.get("nested_type")
    if nested is None and "dynamic" in json.dumps(attribute.get("type")):
        raise CatalogueError(f"{where}: values of dynamic type are not simulated")
    return Field(
        name=name,
        type=attribute.get("type"),
        nesting=nested["nesting_mode"] if nested else None,
        fields=_attributes(nested.get("attributes", {}), where) if nested else {},
        required=attribute.get("required", False),
        optional=attribute.get("optional", False),
        computed=attribute.get("computed", False),
        sensitive=attribute.get("sensitive", False),
        write_only=attribute.get("write_only", False),
        deprecated=attribute.get("deprecated", False),
        description=attribute.get("description", ""),
    )


# `source` and `note` say in the data where a fact comes from; the program has no use for them
# and `schema` is for whoever generates the catalogue
_KEYS = frozenset({"source", "note", "schema", "import", *Behaviour.__dataclass_fields__} - {"imports"})


def _behaviour(data: Mapping[str, Any], where: str) -> Behaviour:
    strange = set(data) - _KEYS
    if strange:
        raise CatalogueError(f"{where}: unknown key {sorted(strange)[0]!r} in its behaviour")
    imports = data.get("import")
    lookup = data.get("lookup")
    return Behaviour(
        name=data.get("name", "name"),
        unique=_templates(data.get("unique")),
        exists=data.get("exists", ""),
        overwrites=data.get("overwrites", False),
        bare=data.get("bare", ""),
        local=data.get("local", False),
        legacy_type_system=data.get("legacy_type_system", False),
        force_new=tuple(data.get("force_new", ())),
        removal=tuple(data.get("removal", ())),
        in_place=frozenset(data["in_place"]) if "in_place" in data else None,
        defaults=data.get("defaults", {}),
        enums={path: tuple(values) for path, values in data.get("enums", {}).items()},
        limits=_limits(data.get("limits", {})),
        renewed=data.get("renewed", {}),
        unannounced=tuple(data.get("unannounced", ())),
        guards=tuple(_guard(guard) for guard in data.get("guards", ())),
        conflicts=tuple(tuple(group) for group in data.get("conflicts", ())),
        checks=tuple(_check(check) for check in data.get("checks", ())),
        imports=_import(imports) if imports is not None else None,
        kept=tuple(data.get("kept", ())),
        computed=tuple(Rule(rule["path"], tuple(rule["from"])) for rule in data.get("computed", ())),
        lookup=(lookup["type"], tuple((a, b) for a, b in lookup["by"])) if lookup else None,
        missing=tuple(data["missing"]) if "missing" in data else ("Not Found", ""),
    )


def _check(data: Mapping[str, Any]) -> Check:
    reference = data.get("reference")
    return Check(
        require=tuple(data["require"]),
        summary=data["summary"],
        detail=data["detail"],
        reference=(reference[0], reference[1]) if reference else None,
        accepted=frozenset(data.get("accepted", ())),
    )


def _templates(data: str | list[str] | None) -> tuple[str, ...]:
    return (data,) if isinstance(data, str) else tuple(data or ())


def _limits(data: Mapping[str, Any]) -> Limits:
    return Limits(
        numbers={path: (low, high) for path, (low, high) in data.get("numbers", {}).items()},
        lengths={path: (low, high) for path, (low, high) in data.get("lengths", {}).items()},
        patterns=data.get("patterns", {}),
    )


def _guard(data: Mapping[str, Any]) -> Guard:
    return Guard(
        path=data["path"],
        values=tuple(data["values"]),
        summary=data["summary"],
        unless=data.get("unless"),
    )


def _import(data: Mapping[str, Any]) -> Import:
    return Import(
        attribute=data.get("attribute", "id"),
        by=_templates(data.get("by")),
        reads=frozenset(data["reads"]) if "reads" in data else None,
        blank=tuple(data.get("blank", ())),
    )
