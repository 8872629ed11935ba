"""What exists in the account, asked of each service by itself, side by side."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from zave.aws.commands import how_to_delete
from zave.aws.identity import identity, import_id
from zave.aws.live.api import Api, RefusedError
from zave.aws.live.belonging import Family
from zave.aws.live.deletions import delete
from zave.aws.live.kinds import KINDS
from zave.aws.live.listing import Found, Kind, kinds_of, listed
from zave.aws.live.parts import Parts
from zave.aws.live.tagged import unlisted
from zave.clock import Clock
from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.ports import Item

# AWS counts calls by service: more threads would only wait for one another
_AT_ONCE = 12
_TYPES = frozenset(kind.type for kind in kinds_of(KINDS))
_COVERED = frozenset(kind.covers for kind in kinds_of(KINDS) if kind.covers)


class LiveInventory:
    """Implements `zave.ports.Inventory`: whatever cannot be listed is told, never taken for nothing.

    Without a `clock` what a killed build of an image left cannot be told from a build that works.
    """

    def __init__(self, api: Api, *, parts: Callable[[], Parts], clock: Clock | None = None) -> None:
        self._api = api
        self._parts = parts
        self._clock = clock

    @property
    def source(self) -> str:
        """How receipts name it."""
        return f"AWS {self._api.region}"

    @property
    def types(self) -> frozenset[str]:
        """Every type that is listed; what else zave's modules make, AWS lets be made twice."""
        return _TYPES

    def items(self) -> Sequence[Item]:
        """Everything in the account that is of these types, or carries zave's tag.

        Raises StepFailedError, or PreconditionError where nothing can be asked, when a single list is
        not complete: what is not seen would be taken for gone.
        """
        found = self._found()
        family = Family(found, now=self._clock.now() if self._clock else None)
        return [_item(thing, family) for thing in found]

    def delete(self, item: Item) -> None:
        """Ask AWS to delete it, and do not wait. Raises StepFailedError when AWS refuses."""
        if item.type not in _TYPES:
            raise StepFailedError(
                f"zave does not know how {item.type} is deleted",
                where=self.source,
                resolution=f"delete {item.id} by hand",
            )
        try:
            delete(self._api, item)
        except RefusedError as error:
            raise StepFailedError(
                f"AWS refused to delete {item.type} {item.name}",
                details=error.details,
                where=self.source,
                resolution=f"once nothing is in the way: {self.how_to_delete(item)}",
            ) from error
        except KeyError as error:
            raise StepFailedError(
                f"{item.type} {item.name} does not say its {error.args[0]}", where=self.source
            ) from error

    def how_to_delete(self, item: Item) -> str:
        """The command line of the AWS CLI for it."""
        if item.type not in _TYPES:
            return f"delete {item.id} by hand: it carries the tag of {item.owner}"
        return how_to_delete(item, region=self._api.region)

    def _found(self) -> list[Found]:
        parts = self._parts()
        here = {"region": parts.region, "account": parts.account, "partition": parts.partition}

        def ask(kind: Kind) -> list[Found]:
            return list(listed(self._api, kind, here))

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            asked = [(kind.type, pool.submit(ask, kind)) for kind in KINDS]
            found = self._complete(asked)
        known = {value for thing in found for value in (thing.id, thing.attributes.get("arn"))}
        try:
            found += unlisted(self._api, covered=_COVERED, known={name for name in known if name})
        except RefusedError as error:
            raise self._incomplete([f"the tagging API: {error.details}"]) from error
        return found

    def _complete(self, asked: Iterable[tuple[str, "Future[list[Found]]"]]) -> list[Found]:
        found: list[Found] = []
        failures: list[str] = []
        stopped: PreconditionError | None = None
        for type_, future in asked:
            try:
                found += future.result()
            except PreconditionError as error:
                stopped = error
            except ZaveError as error:
                failures.append(f"{type_}: {error.details or error.brief}")
        if stopped is not None:
            raise stopped
        if failures:
            raise self._incomplete(failures)
        return found

    def _incomplete(self, failures: Sequence[str]) -> StepFailedError:
        return StepFailedError(
            f"the inventory of {self.source} is not complete: {len(failures)} lists failed",
            details="\n".join(failures),
            resolution="run the same command again; if it fails once more, look at the caller's rights",
        )


def _item(thing: Found, family: Family) -> Item:
    belonging = family.belonging(thing)
    values = {**thing.attributes, "tags": dict(thing.tags)}
    return Item(
        type=thing.type,
        id=thing.id,
        name=identity(thing.type, values) or thing.attributes.get("name") or thing.id,
        state=thing.state,
        import_id=import_id(thing.type, values),
        attributes={
            **thing.attributes,
            **{f"tag:{key}": value for key, value in thing.tags.items()},
        },
        owner=belonging.instance,
        standing=belonging.standing,
        created_at=thing.created_at,
    )
