"""What exists in the account, sorted by whose it is; and deleting one owner's, without Terraform."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from zave.aws.keys import baseline_key
from zave.clock import Clock
from zave.errors import StepFailedError
from zave.ports import PENDING, Inventory, Item
from zave.ports.cloud import Bucket, Cloud

# states of what is on its way out already: asking again would be refused
_LEAVING = frozenset({"deleting", "terminating", "shutting-down"})

# seconds of the world's time between passes. Together 5 minutes, as long as the interfaces of a load
# balancer may stay (aws.md of 2026-11-23, section 3): with the teardown before it less than the half hour
# until the next fire, which goes on with what takes longer
_PAUSES = (10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 60.0)

Identity = tuple[str, str]


@dataclass(frozen=True)
class Sorted:
    """An inventory by class: `expected` are a live instance's, `accepted` go by themselves."""

    expected: tuple[Item, ...]
    standing: tuple[Item, ...]
    leaks: tuple[Item, ...]
    accepted: tuple[Item, ...]


@dataclass(frozen=True)
class Refusal:
    """What still stands, and what the platform last said about it."""

    item: Item
    reason: str


@dataclass(frozen=True)
class Swept:
    """What a sweep came to. `deleted` are the items that it asked to delete and that are gone."""

    deleted: tuple[Item, ...]
    accepted: tuple[Item, ...]
    left: tuple[Refusal, ...]
    passes: int


def identity_of(item: Item) -> Identity:
    """What tells one thing from every other."""
    return item.type, item.id


def belongs(item: Item, instance: str, *, baseline: Collection[Identity] = ()) -> bool:
    """Whether `item` is the instance's to delete: marked as its own, not standing, not older than it."""
    return item.owner == instance and not item.standing and identity_of(item) not in baseline


def sort_items(items: Iterable[Item], *, alive: Collection[str], instance: str | None = None) -> Sorted:
    """Sort by class. With an `instance` its own only; `alive` are the instances that should stand.

    What nobody owns is not zave's and in no class.
    """
    expected: list[Item] = []
    standing: list[Item] = []
    leaks: list[Item] = []
    accepted: list[Item] = []
    for item in items:
        if item.standing:
            standing.append(item)
        elif item.owner is None or instance not in (None, item.owner):
            continue
        elif item.state == PENDING:
            accepted.append(item)
        elif item.owner in alive:
            expected.append(item)
        else:
            leaks.append(item)
    return Sorted(tuple(expected), tuple(standing), tuple(leaks), tuple(accepted))


def take_baseline(cloud: Cloud, instance: str) -> bool:
    """Note, once, what existed before the instance's first resource; False when that is noted already.

    What the instance owns is left out: leftovers of an earlier life must not become untouchable.
    """
    older = [identity_of(item) for item in cloud.inventory.items() if item.owner != instance]
    document = {"schema": "zave/baseline/v1", "instance": instance, "items": sorted(older)}
    content = json.dumps(document, separators=(",", ":")).encode()
    return cloud.bucket.put(baseline_key(instance), content, only_if_absent=True)


def read_baseline(bucket: Bucket, instance: str) -> frozenset[Identity]:
    """What `take_baseline` noted; empty when nothing was. Raises StepFailedError for a damaged note."""
    content = bucket.get(baseline_key(instance))
    if content is None:
        return frozenset()
    try:
        return frozenset((str(kind), str(identity)) for kind, identity in json.loads(content)["items"])
    except (ValueError, KeyError, TypeError) as error:
        # without it something older than the instance might be deleted
        raise StepFailedError(
            f"the list of what is older than {instance} cannot be read",
            where=f"{bucket.name}/{baseline_key(instance)}",
            details=str(error),
            resolution="restore an older version of that object, or delete it if nothing must be kept",
        ) from error


@dataclass
class Sweep:
    """Deletes one instance's things in passes, blind to what depends on what.

    `say` is told what is deleted; `beat` is called often, and may raise to stop the sweep. `only` says
    what of the instance's it is about; all of it by default.
    """

    inventory: Inventory
    clock: Clock
    instance: str
    baseline: frozenset[Identity]
    say: Callable[[str], None]
    beat: Callable[[], None] = lambda: None
    only: Callable[[Item], bool] = lambda item: True
    _asked: dict[Identity, Item] = field(default_factory=dict)
    _reasons: dict[Identity, str] = field(default_factory=dict)

    def run(self) -> Swept:
        """Pass after pass until nothing of the instance's is left, or the passes are used up."""
        passes = 0
        own = self._own()
        for pause in (*_PAUSES, 0.0):
            if not _remaining(own):
                break
            passes += 1
            self._pass(_remaining(own))
            own = self._own()
            if pause and _remaining(own):
                self.clock.sleep(pause)
                own = self._own()
        there = {identity_of(item) for item in own}
        return Swept(
            deleted=tuple(item for key, item in self._asked.items() if key not in there),
            accepted=tuple(item for item in own if item.state == PENDING),
            left=tuple(
                Refusal(item, self._reasons.get(identity_of(item), f"it is {item.state}"))
                for item in _remaining(own)
            ),
            passes=passes,
        )

    def _own(self) -> list[Item]:
        items = self.inventory.items()
        return [i for i in items if belongs(i, self.instance, baseline=self.baseline) and self.only(i)]

    def _pass(self, items: Sequence[Item]) -> None:
        for item in items:
            self.beat()
            if item.state in _LEAVING:
                continue
            key = identity_of(item)
            if key not in self._asked:
                self.say(f"sweep: deleting {item.type} {item.name}")
            self._asked[key] = item
            try:
                self.inventory.delete(item)
            except StepFailedError as error:
                self._reasons[key] = error.details or error.brief


def _remaining(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.state != PENDING]
