"""What exists, sorted: expected (a live instance's), standing (outlives instances), leaks."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zave.aws.lives import of_all_regions
from zave.cost.rates import Rates
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.ports import PENDING, Artifact, Inventory, Item
from zave.state.records import InstanceRecord, ResourceRecord
from zave.state.store import StateStore
from zave.text import clean

# every object that zave's modules name begins so: how the sweep knows what no record knows
PREFIX = "zave-"
_ENDED = ("destroyed", "absent")
# where a teardown that has begun may have left its instance
_ENDING = ("destroying", "failed", "expired")
GOING = "teardown.items"
"""The fact that lists what a teardown has set out to delete, until its receipt is written."""


@dataclass(frozen=True)
class Sweep:
    """The inventory at one moment, sorted."""

    expected: tuple[Item, ...]
    leaks: tuple[Item, ...]
    standing: tuple[Item, ...] = ()
    images: tuple[Artifact, ...] = ()
    unclear: tuple[Item, ...] = ()

    def document(self, *, instance: str | None, everywhere: "Everywhere", rates: Rates) -> dict[str, Any]:
        """The `zave/inventory/v1` document."""
        return {
            "schema": "zave/inventory/v1",
            "instance": instance,
            "expected": [item_document(item) for item in self.expected],
            "standing": [
                *(
                    {**item_document(item), "usd_per_month": rates.month(item, everywhere.of(item).region)}
                    for item in self.standing
                ),
                *(
                    {"type": "image", "id": image.location, "name": image.name, "usd_per_month": 0.0}
                    for image in self.images
                ),
            ],
            "leaks": [
                leak_document(item, seen.inventory, usd_per_day=rates.day(item, seen.region))
                for item in self.leaks
                for seen in [everywhere.of(item)]
            ],
            "unclear": [item_document(item) for item in self.unclear],
            "looked_at": [seen.inventory.source for seen in everywhere.seen],
            "unanswered": [each.document() for each in everywhere.unanswered],
        }


def item_document(item: Item) -> dict[str, Any]:
    """One thing as documents name it."""
    return {"type": item.type, "id": item.id, "name": item.name}


def leak_document(item: Item, inventory: Inventory, *, usd_per_day: float | None) -> dict[str, Any]:
    """One leak: what it costs a day, None where that is not known, and how to delete it by hand."""
    return {
        **item_document(item),
        "usd_per_day": usd_per_day,
        "how_to_delete": inventory.how_to_delete(item),
    }


def sweep(
    store: StateStore,
    items: Sequence[Item],
    images: Sequence[Artifact],
    *,
    instance: str | None,
    armed: Collection[str] = (),
    leaked: Collection[Item] = (),
) -> Sweep:
    """Sort `items`. With an instance only what is its own, by record, by mark, or by name.

    `armed` are the instances that have a switch in their account: one that is not on record, or on record
    as destroyed, is somebody else's that lives, and its switch will end it. `leaked` were found to be leaks
    a moment ago, and are ones as long as they stand.

    An owner is the record's, or the one that the platform's own marks name. Expected is what the
    record of a live instance wants; what a destroyed one left is a leak, and so is what Terraform
    said it had destroyed. Roles alone are unclear: their demo may live in a region that nobody looked at.
    Who names an instance on record means its roles, too.
    """
    alive: dict[str, bool] = dict.fromkeys(armed, True)
    records = [
        record for record in store.instances() if record.phase not in _ENDED or record.name not in alive
    ]
    alive |= {record.name: record.phase not in _ENDED for record in records}
    # an instance whose teardown has begun, and was not refused, wants nothing any more
    going = {
        each.name for each in records if each.phase in _ENDING and store.fact(each.name, GOING) is not None
    }
    wanting = {name for name, lives in alive.items() if lives} - going
    owners = _owners_on_record(store, records, wanting=wanting)
    expected: list[Item] = []
    leaks: list[tuple[Item, str | None]] = []
    for item in items:
        if item.standing or item.state == PENDING:
            continue
        owner, wanted = owners.get((item.type, item.name), (item.owner, item.owner in wanting))
        if owner is None:
            if item.name.startswith(PREFIX) and instance in (None, _named_after(item, alive)):
                leaks.append((item, None))
        elif instance in (None, owner) and wanted:
            expected.append(item)
        elif instance in (None, owner):
            leaks.append((item, owner))
    standing = [item for item in items if item.standing]
    known = {record.name for record in records if record.name == instance or record.phase not in _ENDED}
    unclear = _may_live_elsewhere(leaks, known=known, leaked=leaked)
    return Sweep(
        tuple(expected),
        tuple(item for item, _ in leaks if item not in unclear),
        tuple(standing),
        tuple(images),
        tuple(unclear),
    )


def _owners_on_record(
    store: StateStore, records: Sequence[InstanceRecord], *, wanting: Collection[str]
) -> dict[tuple[str, str], tuple[str, bool]]:
    """Type and name of each recorded resource -> whose it is, and whether its owner still wants it."""
    owners: dict[tuple[str, str], tuple[str, bool]] = {}
    for record in records:
        for resource in store.resources(record.name):
            # what Terraform said it destroyed is not expected, even while the rest of it stands
            wanted = record.name in wanting and resource.state != "gone"
            if (resource.type, resource.name) not in owners or wanted:
                owners[resource.type, resource.name] = record.name, wanted
    return owners


def _may_live_elsewhere(
    leaks: Sequence[tuple[Item, str | None]], *, known: Collection[str], leaked: Collection[Item]
) -> list[Item]:
    """Roles whose demo may live in a region that nobody looked at: they are every region's, and free.

    Not those of an instance that is `known`, or that left something else as well.
    """
    regional = {owner for item, owner in leaks if not of_all_regions(item)}
    owners = {*known, *regional} - {None}
    before = {(item.type, item.id) for item in leaked}
    return [
        item
        for item, owner in leaks
        if of_all_regions(item) and owner not in owners and (item.type, item.id) not in before
    ]


def _named_after(item: Item, instances: Iterable[str]) -> str | None:
    """The instance whose name the item's bears, the longest where several fit."""
    rest = item.name.removeprefix(PREFIX)
    fitting = [name for name in instances if rest == name or rest.startswith(f"{name}-")]
    return max(fitting, key=len, default=None)


def delete_all(items: Sequence[Item], inventory: Inventory) -> list[tuple[Item, str]]:
    """Delete each, in passes while something goes; return those that the platform refused, with its reason.

    What holds another thing may come after it in the list: a network goes when its subnets are gone.
    """
    left = list(items)
    while True:
        refused: list[tuple[Item, str]] = []
        for item in left:
            try:
                inventory.delete(item)
            except StepFailedError as error:
                refused.append((item, _reason(error)))
        if not refused or len(refused) == len(left):
            return refused
        left = [item for item, _ in refused]


def _reason(error: ZaveError) -> str:
    return ": ".join(filter(None, [error.brief, error.details]))


def recorded(resources: Iterable[ResourceRecord], items: Iterable[Item]) -> list[tuple[ResourceRecord, Item]]:
    """The items that a record names, with their records."""
    there = {(item.type, item.name): item for item in items}
    return [(r, there[r.type, r.name]) for r in resources if (r.type, r.name) in there]


@dataclass(frozen=True)
class Seen:
    """What one place holds at one moment. `armed` are the instances that have a switch there.

    `region` is AWS's; None for a place that nobody bills.
    """

    inventory: Inventory
    items: tuple[Item, ...]
    armed: frozenset[str] = frozenset()
    region: str | None = None


@dataclass(frozen=True)
class Source:
    """A place to look at: a host, or an account in a region. `ask` raises when it does not answer."""

    name: str
    ask: Callable[[], Seen]
    account: bool = False

    @classmethod
    def of(cls, inventory: Inventory, *, region: str | None = None) -> "Source":
        """One where nobody else has a switch."""
        return cls(inventory.source, lambda: Seen(inventory, tuple(inventory.items()), region=region))


@dataclass(frozen=True)
class Unanswered:
    """A place that could not be looked at: nothing is known of it, and nothing in it is said to be gone."""

    place: str
    problem: str
    resolution: str | None
    account: bool = False

    def document(self) -> dict[str, str | None]:
        """As `zave/inventory/v1` has it."""
        return {"place": self.place, "problem": clean(self.problem), "resolution": self.resolution}


def _everywhere(item: Item) -> tuple[str, str, str] | None:
    """By what a thing is known again that another region shows as well; None: by nothing.

    The ARN alone does not tell things apart: a rule's target has that of what it points to.
    """
    arn = "" if of_all_regions(item) else item.attributes.get("arn")
    return None if arn is None else (item.type, item.id, arn)


@dataclass(frozen=True)
class Everywhere:
    """All places at one moment."""

    seen: tuple[Seen, ...]
    unanswered: tuple[Unanswered, ...] = ()

    @property
    def items(self) -> list[Item]:
        """What exists anywhere; what several regions show, such as a role, once."""
        found: list[Item] = []
        known: set[tuple[str, str, str]] = set()
        for seen in self.seen:
            found += [item for item in seen.items if _everywhere(item) not in known]
            known |= {key for item in seen.items if (key := _everywhere(item)) is not None}
        return found

    @property
    def armed(self) -> frozenset[str]:
        """The instances that have a switch anywhere."""
        return frozenset[str]().union(*(seen.armed for seen in self.seen))

    def of(self, item: Item) -> Seen:
        """The place that showed `item`: two regions have things of the same types."""
        return next(seen for seen in self.seen if any(each is item for each in seen.items))

    def deletable(self, items: Iterable[Item]) -> list[Item]:
        """Those of `items` that a look everywhere, or nearly, is enough to judge.

        A role is every region's: the switch that it lives for may be in the one that did not answer.
        """
        silent = any(each.account for each in self.unanswered)
        return [item for item in items if not (silent and of_all_regions(item))]

    def delete(self, items: Sequence[Item]) -> list[tuple[Item, str]]:
        """Delete each where it is; return those that stay, with the reason.

        A place that falls silent meanwhile does not keep the others from being cleaned.
        """
        refused: list[tuple[Item, str]] = []
        for seen in self.seen:
            own = [item for item in items if self.of(item) is seen]
            try:
                refused += delete_all(own, seen.inventory)
            except PreconditionError as error:
                refused += [(item, _reason(error)) for item in own]
        return refused


def look_everywhere(sources: Iterable[Source]) -> Everywhere:
    """Ask each place; one that does not answer hides none of the others."""
    seen: list[Seen] = []
    unanswered: list[Unanswered] = []
    for source in sources:
        try:
            seen.append(source.ask())
        except (PreconditionError, StepFailedError) as error:
            unanswered.append(Unanswered(source.name, _reason(error), error.resolution, source.account))
    return Everywhere(tuple(seen), tuple(unanswered))
