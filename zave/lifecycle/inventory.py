"""What exists, sorted: expected (a live instance's), standing (outlives instances), leaks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from zave.errors import StepFailedError
from zave.ports import Artifact, Inventory, Item
from zave.state.records import ResourceRecord
from zave.state.store import StateStore

# every object that zave's modules name begins so: how the sweep knows what no record knows
PREFIX = "zave-"


@dataclass(frozen=True)
class Sweep:
    """The inventory at one moment, sorted."""

    expected: tuple[Item, ...]
    leaks: tuple[Item, ...]
    standing: tuple[Artifact, ...] = field(default=())

    def document(self, *, instance: str | None, inventory: Inventory) -> dict[str, Any]:
        """The `zave/inventory/v1` document."""
        return {
            "schema": "zave/inventory/v1",
            "instance": instance,
            "expected": [item_document(item) for item in self.expected],
            "standing": [
                {"type": "image", "id": image.location, "name": image.name, "usd_per_month": 0.0}
                for image in self.standing
            ],
            "leaks": [leak_document(item, inventory) for item in self.leaks],
        }


def item_document(item: Item) -> dict[str, Any]:
    """One thing as documents name it."""
    return {"type": item.type, "id": item.id, "name": item.name}


def leak_document(item: Item, inventory: Inventory) -> dict[str, Any]:
    """One leak: what it costs a day and how to delete it by hand."""
    return {
        **item_document(item),
        "usd_per_day": round(item.usd_per_hour * 24, 4),
        "how_to_delete": inventory.how_to_delete(item),
    }


def sweep(
    store: StateStore, items: Sequence[Item], images: Sequence[Artifact], *, instance: str | None
) -> Sweep:
    """Sort `items`. With an instance only what is its own by record, or by name where no record is.

    An instance is alive unless it was destroyed; what a destroyed one left is a leak.
    """
    owners: dict[tuple[str, str], str] = {}
    alive: dict[str, bool] = {}
    for record in store.instances():
        alive[record.name] = record.phase not in ("destroyed", "absent")
        for resource in store.resources(record.name):
            if (resource.type, resource.name) not in owners or alive[record.name]:
                owners[resource.type, resource.name] = record.name
    expected: list[Item] = []
    leaks: list[Item] = []
    for item in items:
        owner = owners.get((item.type, item.name))
        if owner is None:
            if item.name.startswith(PREFIX) and instance in (None, _named_after(item, alive)):
                leaks.append(item)
        elif instance in (None, owner):
            (expected if alive[owner] else leaks).append(item)
    return Sweep(tuple(expected), tuple(leaks), tuple(images))


def _named_after(item: Item, instances: Iterable[str]) -> str | None:
    """The instance whose name the item's bears, the longest where several fit."""
    rest = item.name.removeprefix(PREFIX)
    fitting = [name for name in instances if rest == name or rest.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)


def delete_all(items: Sequence[Item], inventory: Inventory) -> list[tuple[Item, str]]:
    """Delete each; return those that the platform refused, with its reason."""
    refused: list[tuple[Item, str]] = []
    for item in items:
        try:
            inventory.delete(item)
        except StepFailedError as error:
            refused.append((item, error.brief))
    return refused


def recorded(resources: Iterable[ResourceRecord], items: Iterable[Item]) -> list[tuple[ResourceRecord, Item]]:
    """The items that a record names, with their records."""
    there = {(item.type, item.name): item for item in items}
    return [(r, there[r.type, r.name]) for r in resources if (r.type, r.name) in there]
