import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from zave.errors import StateError
from zave.rehearsal.world import Draft, World, WorldError

DraftOf = Callable[..., Draft]


def _wait_for(condition: Callable[[], bool]) -> None:
    reached = threading.Event()
    for _ in range(2000):
        if condition():
            return
        reached.wait(0.005)
    raise AssertionError("the condition was never met")


def test_created_thing_is_present_once_its_time_has_passed(world: World, draft: DraftOf) -> None:
    before = world.clock.now()
    thing = world.create(draft("web", seconds=33.5))
    assert (thing.state, thing.type, thing.name) == ("present", "libvirt_domain", "web")
    assert thing.attributes["uuid"] == "uuid-web"
    assert thing.created_at == before
    assert thing.ready_at == before + timedelta(seconds=33.5) == world.clock.now()
    assert world.things() == [thing]
    assert world.read(thing.key) == thing


def test_duration_comes_from_the_table_when_none_is_given(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web"))
    assert 24 <= (thing.ready_at - thing.created_at).total_seconds() <= 43


def test_thing_exists_while_it_is_being_made(world: World, draft: DraftOf, world_path: Path) -> None:
    world.faults.add("hang create libvirt_domain")
    errors: list[str] = []

    def create() -> None:
        try:
            world.create(draft("web"))
        except WorldError as error:
            errors.append(error.summary)

    maker = threading.Thread(target=create)
    maker.start()
    reader = World.open(world_path)
    _wait_for(lambda: bool(reader.things()))
    assert [thing.state for thing in reader.things()] == ["creating"]
    reader.clock.advance(60)
    assert [thing.state for thing in reader.things()] == ["present"]
    reader.close()
    world.cancel()
    maker.join()
    assert errors == ["cancelled: create domain 'web'"]


def test_thing_is_deleting_until_its_deletion_ends(world: World, draft: DraftOf) -> None:
    key = world.create(draft("web", seconds=1)).key
    world.clock.set_speed(1)
    deleter = threading.Thread(target=world.delete, args=(key,), kwargs={"seconds": 1000})
    deleter.start()
    _wait_for(lambda: world.things()[0].state == "deleting")
    world.clock.advance(1000)
    deleter.join()
    assert world.things() == []
    assert world.read(key) is None


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("libvirt_domain", "domain 'web' already exists with uuid uuid-web"),
        ("libvirt_network", "network 'web' already exists with uuid uuid-web"),
        ("libvirt_volume", "storage volume 'web' exists already"),
    ],
)
def test_second_thing_of_a_name_is_refused_as_libvirt_says_it(
    world: World, draft: DraftOf, type_: str, said: str
) -> None:
    world.create(draft("web", type=type_))
    with pytest.raises(WorldError) as caught:
        world.create(draft("web", type=type_))
    assert caught.value.summary == said
    assert len(world.things()) == 1


def test_things_without_an_identity_or_of_other_types_may_share_a_name(world: World, draft: DraftOf) -> None:
    world.create(draft("web"))
    world.create(draft("web", type="libvirt_volume"))
    world.create(replace(draft("web"), unique=None))
    world.create(replace(draft("web"), unique=None))
    assert len(world.things()) == 4


def test_local_thing_takes_no_time(world: World, draft: DraftOf) -> None:
    before = world.clock.now()
    thing = world.create(replace(draft("seed", type="libvirt_cloudinit_disk", seconds=50), local=True))
    world.update(thing.key, {"name": "seed"}, seconds=50)
    world.delete(thing.key, seconds=50)
    assert world.clock.now() == before


def test_update_replaces_attributes_after_its_time(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web", memory=1))
    before = world.clock.now()
    updated = world.update(thing.key, {"name": "web", "memory": 2}, seconds=7)
    assert updated.attributes == {"name": "web", "memory": 2}
    assert world.read(thing.key) == updated
    assert world.clock.now() - before == timedelta(seconds=7)


def test_update_of_a_lost_thing_is_an_error_and_its_deletion_is_not(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web"))
    assert world.lose("libvirt_domain", "web")
    assert not world.lose("libvirt_domain", "web")
    with pytest.raises(WorldError, match="no longer exists"):
        world.update(thing.key, {})
    world.delete(thing.key)
    world.remove(thing.key)


def test_lookup_finds_by_type_and_attribute(world: World, draft: DraftOf) -> None:
    web = world.create(draft("web", number=3))
    world.create(draft("web", type="libvirt_volume"))
    assert world.lookup("libvirt_domain", "uuid", "uuid-web") == web
    assert world.lookup("libvirt_domain", "number", "3") == web
    assert world.lookup("libvirt_network", "uuid", "uuid-web") is None
    assert world.lookup("libvirt_domain", "uuid", "other") is None
    assert world.lookup("libvirt_domain", "absent", None) is None


def test_lookup_by_name_finds_a_thing_without_that_attribute(world: World) -> None:
    thing = world.create(Draft("libvirt", "libvirt_pool", "default", None, {}))
    assert world.lookup("libvirt_pool", "name", "default") == thing


def test_stop_switches_a_machine_off_behind_everybodys_back(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web", running=True))
    before = world.clock.now()
    assert world.stop("libvirt_domain", "web")
    assert not world.stop("libvirt_domain", "other")
    stopped = world.read(thing.key)
    assert stopped is not None
    assert stopped.attributes == {**thing.attributes, "running": False}
    assert world.clock.now() == before


def test_remove_deletes_at_once(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web"))
    before = world.clock.now()
    world.remove(thing.key)
    assert world.things() == []
    assert world.clock.now() == before


def test_things_can_be_asked_for_by_provider(world: World, draft: DraftOf) -> None:
    world.create(draft("web"))
    world.create(Draft("aws", "aws_vpc", "net", None, {}))
    assert [thing.name for thing in world.things(provider="aws")] == ["net"]
    assert [thing.name for thing in world.things()] == ["web", "net"]


def test_counters_are_shared_and_separate_by_name(world: World, world_path: Path) -> None:
    other = World.open(world_path)
    assert [world.counter("bridge"), other.counter("bridge"), world.counter("domain")] == [1, 2, 1]
    other.close()


def test_documents_are_kept_by_kind_and_name(world: World, world_path: Path) -> None:
    world.put_document("image", "a", {"size": 1})
    world.put_document("image", "a", {"size": 2, "text": "\u00e9\x00'"})
    world.put_document("host", "a", {})
    other = World.open(world_path)
    assert other.get_document("image", "a") == {"size": 2, "text": "\u00e9\x00'"}
    assert other.documents("image") == {"a": {"size": 2, "text": "\u00e9\x00'"}}
    assert other.delete_document("image", "a")
    assert not other.delete_document("image", "a")
    assert world.get_document("image", "a") is None
    assert world.documents("host") == {"a": {}}
    other.close()


def test_log_tells_in_order_what_happened(world: World, draft: DraftOf) -> None:
    thing = world.create(draft("web"))
    first = world.log()[-1].seq
    world.update(thing.key, {"name": "web"})
    world.delete(thing.key)
    world.note("build", "image", "k3s", detail="done")
    assert [event.verb for event in world.log()] == ["create", "update", "delete", "build"]
    later = world.log(since=first)
    assert [event.verb for event in later] == ["update", "delete", "build"]
    assert later[0].key == thing.key
    assert later[0].virtual_at < later[1].virtual_at
    assert later[0].pid == os.getpid()
    assert later[2].detail == "done"


def test_reset_empties_everything_and_starts_the_clock_anew(world: World, draft: DraftOf) -> None:
    start = world.clock.now()
    world.create(draft("web"))
    world.faults.add("crash provider always")
    world.put_document("image", "a", {})
    world.counter("bridge")
    world.clock.set_speed(60)
    world.clock.advance(10_000)
    world.reset()
    assert [*world.things(), *world.faults.list(), *world.documents("image"), *world.log()] == []
    assert world.counter("bridge") == 1
    assert world.clock.speed == 0
    assert start <= world.clock.now() < start + timedelta(seconds=5000)


def test_reset_during_a_creation_ends_it_without_moving_the_new_clock(world: World, draft: DraftOf) -> None:
    world.clock.set_speed(1)
    errors: list[WorldError] = []

    def create() -> None:
        try:
            world.create(draft("web", seconds=10_000))
        except WorldError as error:
            errors.append(error)

    maker = threading.Thread(target=create)
    maker.start()
    _wait_for(lambda: bool(world.things()))
    world.reset()
    restarted = world.clock.now()
    maker.join()
    assert "vanished" in errors[0].summary
    assert world.clock.now() == restarted
    assert world.things() == []


def test_files_are_private(world: World, world_path: Path, draft: DraftOf) -> None:
    world.create(draft("web"))
    assert stat.S_IMODE(world_path.parent.stat().st_mode) == 0o700
    files = list(world_path.parent.iterdir())
    assert world_path in files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_world_outlives_its_readers(world_path: Path, draft: DraftOf) -> None:
    world = World.open(world_path)
    thing = world.create(draft("web"))
    now = world.clock.now()
    world.close()
    again = World.open(world_path)
    assert again.things() == [thing]
    assert again.clock.now() == now
    again.close()


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be read as one" * 50])
def test_file_that_is_no_world_is_refused_and_kept(world_path: Path, content: bytes) -> None:
    world_path.parent.mkdir()
    world_path.write_bytes(content)
    with pytest.raises(StateError) as caught:
        World.open(world_path)
    assert caught.value.where == str(world_path)
    assert caught.value.resolution is not None
    assert world_path.read_bytes() == content


def test_world_of_another_version_is_refused(world: World, world_path: Path) -> None:
    world.close()
    connection = sqlite3.connect(world_path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError) as caught:
        World.open(world_path)
    assert "99" in (caught.value.details or "")


def test_damage_found_later_is_told_as_an_error_of_the_world(world_path: Path, draft: DraftOf) -> None:
    world = World.open(world_path)
    for number in range(30):
        world.create(draft(f"web-{number}", seconds=0, text="x" * 1000))
    world.close()
    with world_path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)
    with pytest.raises(StateError, match="cannot be read"):
        World.open(world_path).things()
