"""A saved Terraform plan and what it would do, from `terraform show -json PLANFILE` (format 1.2)."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

PlannedAction = Literal["create", "update", "replace", "delete", "import", "forget"]
Counts = Mapping[Literal["create", "update", "replace", "delete"], int]

# attributes by which people and platforms know a thing, in the order in which they are tried
_NAMES = ("name", "id")
_ACTIONS: Mapping[tuple[str, ...], PlannedAction] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("forget",): "forget",
    # since Terraform 1.13: the old object leaves the state and stays in the world
    ("create", "forget"): "replace",
}


@dataclass(frozen=True)
class PlannedResource:
    """One resource that changes. `before` and `after` hold the known values of `name` and `id`.

    `imported` tells that it is brought in from the world first; `action` is `import` when nothing
    else happens to it. `module` is empty for the root.
    """

    address: str
    type: str
    name: str
    action: PlannedAction
    module: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    imported: bool = False

    @property
    def object_name(self) -> str:
        """What the platform calls the object: its `name`, its `id` before, else the address."""
        for values in (self.after, self.before):
            if "name" in values:
                return values["name"]
        return self.before.get("id", self.address)


@dataclass(frozen=True)
class Plan:
    """A plan saved at `path` with the SHA-256 `digest`; only this very file may be applied.

    `drift` is what changed behind Terraform's back since its last run. `document` is the whole of
    `show -json`; empty when nothing changes.
    """

    path: Path
    digest: str
    has_changes: bool
    destroy: bool = False
    resources: tuple[PlannedResource, ...] = ()
    drift: tuple[PlannedResource, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def counts(self) -> Counts:
        """How many resources are created, updated, replaced and deleted."""
        actions = [resource.action for resource in self.resources]
        return {
            "create": actions.count("create"),
            "update": actions.count("update"),
            "replace": actions.count("replace"),
            "delete": actions.count("delete"),
        }

    def describe(self) -> str:
        """The counts in words: `3 to create, 1 to replace`."""
        parts = [f"{count} to {action}" for action, count in self.counts.items() if count]
        imported = sum(resource.imported for resource in self.resources)
        if imported:
            parts.append(f"{imported} to import")
        return ", ".join(parts) or ("outputs only" if self.has_changes else "no changes")


@dataclass(frozen=True)
class HeldResource:
    """One object that Terraform's state holds; `values` are all its attributes, secrets included."""

    address: str
    type: str
    name: str
    id: str | None
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)


def planned_resources(
    document: Mapping[str, Any], key: str = "resource_changes"
) -> tuple[PlannedResource, ...]:
    """The resources under `key` that change. Raises KeyError or TypeError for another document."""
    changes = document.get(key) or []
    return tuple(found for item in changes if (found := _planned(item)) is not None)


def held_resources(document: Mapping[str, Any]) -> tuple[HeldResource, ...]:
    """The managed resources in the output of `show -json` (of a state)."""
    root = (document.get("values") or {}).get("root_module") or {}
    return tuple(_held(root))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _planned(item: Mapping[str, Any]) -> PlannedResource | None:
    change = item["change"]
    if item["mode"] != "managed":
        return None
    imported = change.get("importing") is not None
    action = _ACTIONS.get(tuple(change["actions"]))
    if action is None:
        if not imported:
            return None
        action = "import"
    return PlannedResource(
        address=str(item["address"]),
        type=str(item["type"]),
        name=str(item["name"]),
        action=action,
        module=str(item.get("module_address", "")),
        before=_identity(change.get("before")),
        after=_identity(change.get("after")),
        imported=imported,
    )


def _identity(values: object) -> dict[str, str]:
    """`name` and `id` as text. A value that is not known yet is absent from the plan's `after`."""
    if not isinstance(values, dict):
        return {}
    return {key: str(values[key]) for key in _NAMES if isinstance(values.get(key), str | int)}


def _held(module: Mapping[str, Any]) -> Iterator[HeldResource]:
    for item in module.get("resources") or []:
        if item["mode"] == "managed":
            values = cast(dict[str, Any], item.get("values") or {})
            yield HeldResource(
                address=str(item["address"]),
                type=str(item["type"]),
                name=str(item["name"]),
                id=_identity(values).get("id"),
                values=values,
            )
    for child in module.get("child_modules") or []:
        yield from _held(child)
