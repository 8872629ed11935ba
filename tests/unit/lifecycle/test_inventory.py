from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from zave.clock import SystemClock
from zave.errors import StepFailedError
from zave.lifecycle.inventory import delete_all, leak_document, recorded, sweep
from zave.ports import Item
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord, Phase, ResourceRecord
from zave.state.store import StateStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    directory.prepare()
    store = StateStore.open(directory, clock=SystemClock())
    yield store
    store.close()


def domain(name: str) -> Item:
    return Item(type="libvirt_domain", id=f"id-of-{name}", name=name)


def record(store: StateStore, name: str, phase: Phase, *resources: str) -> None:
    store.save_instance(
        InstanceRecord(
            name=name,
            environment="homelab",
            platform="libvirt-k3s",
            phase=phase,
            created_at=SystemClock().now(),
        )
    )
    run = store.begin_run(instance=name, command="up", arguments=[])
    store.intend_resources(
        name, [ResourceRecord(f"libvirt_domain.{r}", "libvirt_domain", r) for r in resources], run.id
    )


def names(items: tuple[Item, ...]) -> set[str]:
    return {item.name for item in items}


def test_what_a_live_instance_intended_is_expected(store: StateStore) -> None:
    record(store, "lab", "ready", "zave-lab-worker-1")
    found = sweep(store, [domain("zave-lab-worker-1")], [], instance=None)
    assert names(found.expected) == {"zave-lab-worker-1"}
    assert found.leaks == ()


def test_what_a_destroyed_instance_left_is_a_leak(store: StateStore) -> None:
    record(store, "lab", "destroyed", "zave-lab-worker-1")
    assert names(sweep(store, [domain("zave-lab-worker-1")], [], instance=None).leaks) == {
        "zave-lab-worker-1"
    }


def test_a_name_of_zaves_that_no_record_knows_is_a_leak(store: StateStore) -> None:
    assert names(sweep(store, [domain("zave-gone-worker-1")], [], instance=None).leaks) == {
        "zave-gone-worker-1"
    }


def test_what_is_somebody_elses_is_neither_expected_nor_a_leak(store: StateStore) -> None:
    record(store, "lab", "ready", "zave-lab-worker-1")
    found = sweep(store, [domain("my-own-vm")], [], instance=None)
    assert (found.expected, found.leaks) == ((), ())


def test_the_sweep_of_one_instance_leaves_its_neighbour_out(store: StateStore) -> None:
    record(store, "lab", "destroyed", "zave-lab-worker-1")
    record(store, "lab-two", "destroyed", "zave-lab-two-worker-1")
    items = [domain("zave-lab-worker-1"), domain("zave-lab-two-worker-1"), domain("zave-lab-two-stray")]
    assert names(sweep(store, items, [], instance="lab").leaks) == {"zave-lab-worker-1"}
    assert names(sweep(store, items, [], instance="lab-two").leaks) == {
        "zave-lab-two-worker-1",
        "zave-lab-two-stray",
    }


def test_a_live_owner_wins_over_a_destroyed_one_of_the_same_name(store: StateStore) -> None:
    record(store, "alive", "ready", "zave-shared")
    record(store, "dead", "destroyed", "zave-shared")
    found = sweep(store, [domain("zave-shared")], [], instance=None)
    assert (names(found.expected), found.leaks) == ({"zave-shared"}, ())


def marked(type_: str, name: str, *, owner: str | None) -> Item:
    return Item(type_, name, name, owner=owner)


@pytest.mark.parametrize("instance", [None, "theirs"])
def test_a_role_alone_of_a_demo_that_nobody_recorded_is_unclear(
    instance: str | None, store: StateStore
) -> None:
    """It may live in a region that was not looked at, and could not be taken down without its roles."""
    role = marked("aws_iam_role", "zave-theirs-node", owner="theirs")
    found = sweep(store, [role], [], instance=instance)
    assert (found.leaks, names(found.unclear)) == ((), {"zave-theirs-node"})


def test_a_role_of_a_destroyed_instance_is_a_leak_where_that_is_named(store: StateStore) -> None:
    record(store, "old", "destroyed")
    role = marked("aws_iam_role", "zave-old-node", owner="old")
    assert names(sweep(store, [role], [], instance=None).unclear) == {"zave-old-node"}
    assert names(sweep(store, [role], [], instance="old").leaks) == {"zave-old-node"}


def test_a_role_is_a_leak_beside_what_costs_and_stays_one(store: StateStore) -> None:
    role = marked("aws_iam_role", "zave-old-node", owner="old")
    volume = marked("aws_ebs_volume", "vol-1", owner="old")
    leaks = sweep(store, [role, volume], [], instance=None).leaks
    assert names(leaks) == {"zave-old-node", "vol-1"}
    # the volume was deleted, and the role was refused
    again = sweep(store, [role], [], instance=None, leaked=leaks)
    assert (names(again.leaks), again.unclear) == ({"zave-old-node"}, ())


def test_an_armed_demo_lives_although_one_of_its_name_is_on_record_as_destroyed(store: StateStore) -> None:
    record(store, "aws-demo", "destroyed", "zave-aws-demo")
    theirs = [
        marked("aws_ebs_volume", "vol-1", owner="aws-demo"),
        marked("libvirt_domain", "zave-aws-demo", owner="aws-demo"),
    ]
    for instance in (None, "aws-demo"):
        found = sweep(store, theirs, [], instance=instance, armed={"aws-demo"})
        assert (found.leaks, len(found.expected)) == ((), 2)
    assert len(sweep(store, theirs, [], instance=None).leaks) == 2


def test_recorded_pairs_things_with_their_records_by_type_and_name() -> None:
    known = [ResourceRecord("a", "libvirt_domain", "x"), ResourceRecord("b", "libvirt_volume", "y")]
    assert recorded(known, [domain("x"), domain("y")]) == [(known[0], domain("x"))]


@dataclass
class Stubborn:
    """A platform that refuses to delete one thing."""

    refused: str
    deleted: list[str] = field(default_factory=list)
    asked: int = 0

    def delete(self, item: Item) -> None:
        if item.name == self.refused:
            self.asked += 1
            raise StepFailedError("in use", details="by a snapshot")
        self.deleted.append(item.name)

    def how_to_delete(self, item: Item) -> str:
        return f"virsh undefine {item.name}"


def test_a_refused_delete_is_reported_and_the_others_go_on() -> None:
    platform = Stubborn("b")
    refused = delete_all([domain("a"), domain("b"), domain("c")], platform)  # type: ignore[arg-type]
    assert platform.deleted == ["a", "c"]
    assert refused == [(domain("b"), "in use: by a snapshot")]
    assert platform.asked == 2


@dataclass
class Nested:
    """A platform where each thing goes only after the one that is in it."""

    held: list[str]

    def delete(self, item: Item) -> None:
        if self.held[0] != item.name:
            raise StepFailedError("DependencyViolation")
        self.held.pop(0)


def test_what_is_held_by_a_later_one_goes_in_a_later_pass() -> None:
    platform = Nested(["c", "b", "a"])
    assert delete_all([domain("a"), domain("b"), domain("c")], platform) == []  # type: ignore[arg-type]
    assert platform.held == []


def test_a_leak_tells_its_cost_a_day_and_how_to_delete_it() -> None:
    item = Item(type="aws_lb", id="x", name="x")
    document = leak_document(item, Stubborn(""), usd_per_day=0.54)  # type: ignore[arg-type]
    assert document["usd_per_day"] == 0.54
    assert document["how_to_delete"] == "virsh undefine x"
