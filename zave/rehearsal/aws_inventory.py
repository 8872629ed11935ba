"""The rehearsed account's inventory: everything of provider aws in the world, whoever made it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from zave.aws.commands import how_to_delete
from zave.aws.identity import IMPORTABLE, identity, import_id
from zave.clock import rfc3339
from zave.errors import StepFailedError
from zave.ports import Item
from zave.rehearsal.aws_family import Family, tags_of
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.things import MADE_BY, PENDING_UNTIL, Thing, WorldError
from zave.rehearsal.world import World

# secrets, and texts that say nothing about what a thing is
_HIDDEN = ("password", "user_data", "policy", "assume_role_policy", "configuration_values", "certificate")
_LONGEST_VALUE = 300


class SimulatedInventory:
    """Implements `zave.ports.Inventory` over the AWS side of a world.

    `ask` is called before each call of an API and raises when it cannot be reached.
    """

    def __init__(self, world: World, *, region: str, ask: Callable[[str], None]) -> None:
        self._world = world
        self._region = region
        self._ask = ask

    @property
    def source(self) -> str:
        """How receipts name it."""
        return f"simulated AWS {self._region}"

    @property
    def types(self) -> frozenset[str]:
        """Every type that zave's modules make."""
        return IMPORTABLE

    def items(self) -> Sequence[Item]:
        """Everything in the account, also what a reported deletion left behind."""
        self._ask("Describe")
        things = self._things()
        family = Family(things)
        return [self._item(thing, family) for thing in things]

    def delete(self, item: Item) -> None:
        """Delete, which takes as long as it does on AWS. Raises StepFailedError when AWS refuses."""
        self._ask("Delete")
        for thing in self._things():
            if (thing.type, _id(thing)) != (item.type, item.id) or thing.pending:
                continue
            try:
                self._world.remove(thing.key, seconds=seconds_for(thing.type, "delete", thing.name))
            except WorldError as error:
                raise StepFailedError(
                    f"AWS refused to delete {item.type} {item.name}",
                    details="\n".join(filter(None, (error.summary, error.detail))),
                    where=self.source,
                    resolution=f"once nothing is in the way: {self.how_to_delete(item)}",
                ) from error

    def how_to_delete(self, item: Item) -> str:
        """The command line of the AWS CLI for it."""
        return how_to_delete(item, region=self._region)

    def _things(self) -> Sequence[Thing]:
        now = self._world.clock.timestamp()
        things = self._world.things(provider="aws")
        return [each for each in things if not each.pending or each.attributes[PENDING_UNTIL] > now]

    def _item(self, thing: Thing, family: Family) -> Item:
        belonging = family.belonging(thing)
        values = {**thing.attributes, "tags": tags_of(thing)}
        return Item(
            type=thing.type,
            id=_id(thing),
            name=identity(thing.type, values) or thing.name or _id(thing),
            state="pending-deletion" if thing.pending else thing.state,
            import_id=import_id(thing.type, values),
            attributes=shown(thing),
            owner=belonging.instance,
            standing=belonging.standing,
            created_at=rfc3339(thing.created_at),
        )


def shown(thing: Thing) -> dict[str, str]:
    """A thing's attributes as text: `tag:<key>`, `block.attribute`, without secrets and long texts."""
    values = dict(_flat(thing.attributes))
    values |= {f"tag:{name}": str(value) for name, value in tags_of(thing).items()}
    if made_by := thing.attributes.get(MADE_BY):
        values["made_by"] = str(made_by)
    if thing.pending:
        values["until"] = rfc3339(datetime.fromtimestamp(thing.attributes[PENDING_UNTIL], UTC))
    if thing.left_behind:
        values["left_behind"] = "yes"
    # as prices want it: what AWS does when a version leaves its support window
    if policy := values.get("upgrade_policy.support_type"):
        values["upgrade_policy"] = policy
    return values


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if ":" in name or name in ("tags", "tags_all", *_HIDDEN):
            continue
        if isinstance(value, bool):
            yield f"{prefix}{name}", "true" if value else "false"
        elif isinstance(value, str | int | float):
            if value != "" and len(str(value)) <= _LONGEST_VALUE:
                yield f"{prefix}{name}", str(value)
        elif isinstance(value, list):
            yield from _listed(name, value, prefix)


def _listed(name: str, value: list[Any], prefix: str) -> Iterator[tuple[str, str]]:
    if len(value) == 1 and isinstance(value[0], dict):
        yield from _flat(value[0], f"{prefix}{name}.")
    elif value and all(isinstance(each, str) for each in value):
        joined = ",".join(value)
        if len(joined) <= _LONGEST_VALUE:
            yield f"{prefix}{name}", joined


def _id(thing: Thing) -> str:
    return str(thing.attributes.get("id") or thing.attributes.get("arn") or thing.key)
