"""A look at several places: one that does not answer hides none of the others."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from zave.cost.rates import Rates
from zave.errors import PreconditionError, StepFailedError, UnreachableError, UsageError, ZaveError
from zave.lifecycle.inventory import Everywhere, Seen, Source, Sweep, look_everywhere
from zave.ports import Item

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Place:
    """An inventory of one place; deletions are noted, and fail with `error` where there is one."""

    source: str
    held: list[Item] = field(default_factory=list)
    error: ZaveError | None = None
    deleted: list[str] = field(default_factory=list)

    @property
    def types(self) -> frozenset[str]:
        return frozenset({"aws_ebs_volume", "aws_iam_role"})

    def items(self) -> Sequence[Item]:
        return self.held

    def delete(self, item: Item) -> None:
        if self.error is not None:
            raise self.error
        self.deleted.append(item.id)

    def how_to_delete(self, item: Item) -> str:
        return f"delete {item.id} in {self.source}"


def volume(name: str) -> Item:
    return Item(type="aws_ebs_volume", id=name, name=name, owner="lost")


def role(name: str) -> Item:
    arn = f"arn:aws:iam::123456789012:role/{name}"
    return Item(type="aws_iam_role", id=name, name=name, owner="lost", attributes={"arn": arn})


def silent(name: str, error: ZaveError, *, account: bool = False) -> Source:
    def ask() -> Seen:
        raise error

    return Source(name, ask, account=account)


@pytest.mark.parametrize("kind", [PreconditionError, StepFailedError, UnreachableError])
def test_a_silent_place_is_named_with_what_to_do_and_the_others_are_shown(kind: type[ZaveError]) -> None:
    error = kind("the credentials have expired", details="sts: ExpiredToken\x1b[2J", resolution="renew them")
    found = look_everywhere([silent("AWS us-east-1", error), Source.of(Place("lab", [volume("vol-1")]))])
    assert [item.id for item in found.items] == ["vol-1"]
    document = Sweep((), tuple(found.items)).document(instance=None, everywhere=found, rates=Rates(NOW))
    assert document["looked_at"] == ["lab"]
    (unanswered,) = document["unanswered"]
    assert (unanswered["place"], unanswered["resolution"]) == ("AWS us-east-1", "renew them")
    assert unanswered["problem"].startswith("the credentials have expired: sts: ExpiredToken")
    assert "\x1b" not in unanswered["problem"]
    assert document["leaks"][0]["how_to_delete"] == "delete vol-1 in lab"


def test_a_mistake_of_the_users_is_no_silence() -> None:
    with pytest.raises(UsageError):
        look_everywhere([silent("AWS us-east-1", UsageError("no such thing"))])


def test_what_is_found_in_one_region_is_deleted_there_although_another_has_the_same_types() -> None:
    east, west = Place("east"), Place("west", [volume("vol-1")])
    found = look_everywhere([Source.of(east), Source.of(west)])
    assert found.delete(found.items) == []
    assert (east.deleted, west.deleted) == ([], ["vol-1"])


def test_a_place_that_falls_silent_meanwhile_does_not_keep_the_others_from_being_cleaned() -> None:
    east = Place("east", [volume("vol-1")], error=PreconditionError("the credentials have expired"))
    west = Place("west", [volume("vol-2")])
    found = look_everywhere([Source.of(east), Source.of(west)])
    refused = found.delete(found.items)
    assert [(item.id, reason) for item, reason in refused] == [("vol-1", "the credentials have expired")]
    assert west.deleted == ["vol-2"]


def test_a_role_that_every_region_shows_is_shown_once() -> None:
    found = look_everywhere([Source.of(Place("east", [role("r")])), Source.of(Place("west", [role("r")]))])
    assert [item.id for item in found.items] == ["r"]


def test_things_that_point_to_one_queue_are_all_shown() -> None:
    queue = {"arn": "arn:aws:sqs:us-east-1:123456789012:q"}
    targets = [Item("aws_cloudwatch_event_target", f"r{n}-q", f"r{n}-q", attributes=queue) for n in (1, 2)]
    found = look_everywhere([Source.of(Place("east", targets))])
    assert [item.id for item in found.items] == ["r1-q", "r2-q"]


def test_a_role_stays_while_the_region_of_its_switch_may_be_the_silent_one() -> None:
    seen = Source.of(Place("east", [role("r"), volume("vol-1")]))
    whole = look_everywhere([seen])
    assert [item.id for item in whole.deletable(whole.items)] == ["r", "vol-1"]
    part = look_everywhere([seen, silent("AWS eu-west-1", PreconditionError("no answer"), account=True)])
    assert [item.id for item in part.deletable(part.items)] == ["vol-1"]
    # no demo lives on a host
    host = look_everywhere([seen, silent("qemu:///system", PreconditionError("no answer"))])
    assert [item.id for item in host.deletable(host.items)] == ["r", "vol-1"]


def test_switches_of_all_places_count() -> None:
    seen = (Seen(Place("east"), (), frozenset({"a"})), Seen(Place("west"), (), frozenset({"b"})))
    assert Everywhere(seen).armed == {"a", "b"}
