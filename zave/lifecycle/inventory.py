"""What exists, sorted: expected (a live instance's), standing (outlives instances), leaks."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zave.errors import StepFailedError
from zave.ports import PENDING, Artifact, Inventory, Item
from zave.state.records import ResourceRecord
from zave.state.store import StateStore

# every object that zave's modules name begins so: how the sweep knows what no record knows
PREFIX = "zave-"
GOING = "teardown.items"
"""The fact that lists what a teardown has set out to delete, until its receipt is written."""


@dataclass(frozen=True)
class Sweep:
    """The inventory at one moment, sorted."""

    expected: tuple[Item, ...]
    leaks: tuple[Item, ...]
    standing: tuple[Item, ...] = ()
    images: tuple[Artifact, ...] = ()

    def document(self, *, instance: str | None, inventory: Inventory) -> dict[str, Any]:
        """The `zave/inventory/v1` document."""
        return {
            "schema": "zave/inventory/v1",
            "instance": instance,
            "expected": [item_document(item) for item in self.expected],
            "standing": [
                *({**item_document(item), "usd_per_month": None} for item in self.standing),
                *(
                    {"type": "image", "id": image.location, "name": image.name, "usd_per_month": 0.0}
                    for image in self.images
                ),
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
    store: StateStore,
    items: Sequence[Item],
    images: Sequence[Artifact],
    *,
    instance: str | None,
    armed: Collection[str] = (),
) -> Sweep:
    """Sort `items`. With an instance only what is its own, by record, by mark, or by name.

    `armed` are the instances that have a switch in their account: one that is not on record is somebody
    else's that lives, and its switch will end it.

    An owner is the record's, or the one that the platform's own marks name. Expected is what the
    record of a live instance wants; what a destroyed one left is a leak, and so is what Terraform
    said it had destroyed.
    """
    owners: dict[tuple[str, str], tuple[str, bool]] = {}
    alive: dict[str, bool] = dict.fromkeys(armed, True)
    for record in store.instances():
        alive[record.name] = record.phase not in ("destroyed", "absent")
        for resource in store.resources(record.name):
            # what Terraform said it destroyed is not expected, even while the rest of it stands
            wanted = alive[record.name] and resource.state != "gone"
            if (resource.type, resource.name) not in owners or wanted:
                owners[resource.type, resource.name] = record.name, wanted
    # an instance whose teardown has begun wants nothing any more
    going = {name for name in alive if alive[name] and store.fact(name, GOING) is not None}
    expected: list[Item] = []
    leaks: list[Item] = []
    for item in items:
        if item.standing or item.state == PENDING:
            continue
        marked = item.owner or ""
        standing_owner = alive.get(marked, False) and marked not in going
        owner, wanted = owners.get((item.type, item.name), (item.owner, standing_owner))
        if owner is None:
            if item.name.startswith(PREFIX) and instance in (None, _named_after(item, alive)):
                leaks.append(item)
        elif instance in (None, owner):
            (expected if wanted else leaks).append(item)
    standing = [item for item in items if item.standing]
    return Sweep(tuple(expected), tuple(leaks), tuple(standing), tuple(images))


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


class Everything:
    """Several inventories as one: a host's and an account's."""

    def __init__(self, inventories: Sequence[Inventory]) -> None:
        self._inventories = inventories

    @property
    def source(self) -> str:
        """All their names."""
        return ", ".join(inventory.source for inventory in self._inventories)

    @property
    def types(self) -> frozenset[str]:
        """All that any of them can show."""
        return frozenset[str]().union(*(inventory.types for inventory in self._inventories))

    def items(self) -> list[Item]:
        """What exists anywhere."""
        return [item for inventory in self._inventories for item in inventory.items()]

    def delete(self, item: Item) -> None:
        """Delete `item` where things of its type are."""
        self._of(item).delete(item)

    def how_to_delete(self, item: Item) -> str:
        """One command line for a person."""
        return self._of(item).how_to_delete(item)

    def _of(self, item: Item) -> Inventory:
        return next(inventory for inventory in self._inventories if item.type in inventory.types)
