from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from zave.clock import SystemClock, from_rfc3339
from zave.rehearsal.world import Draft, World
from zave.state.directory import StateDirectory
from zave.state.lock import Holder, InstanceLock
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

Zave = Callable[..., Any]


@pytest.fixture
def directory(state: Path) -> StateDirectory:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=True)
    directory.prepare()
    return directory


@pytest.fixture
def world(directory: StateDirectory) -> World:
    world = World.open(directory.world)
    world.create(Draft("libvirt", "libvirt_domain", "zave-lab", None, {"running": True}))
    return world


def test_advance_moves_the_virtual_clock(zave: Zave) -> None:
    before = from_rfc3339(zave("rehearse", "--json").document["now"])
    after = from_rfc3339(zave("rehearse", "advance", "49h", "-o", "json").document["now"])
    assert after - before == timedelta(hours=49)
    assert zave("rehearse", "advance", "49").status == 2


def test_speed_is_kept_by_the_world(zave: Zave) -> None:
    zave("rehearse", "speed", "60")
    assert zave("rehearse", "--json").document["speed"] == 60
    assert zave("rehearse", "speed", "-1").status == 2


def test_faults_are_listed_added_removed_and_cleared(zave: Zave, tmp_path: Path) -> None:
    def texts(*words: str) -> list[str]:
        return [fault["text"] for fault in zave("rehearse", "faults", *words, "--json").document["faults"]]

    assert texts() == []
    assert texts("add", "crash provider once") == ["crash provider once"]
    (tmp_path / "bad-day.txt").write_text("# bad\nfail create libvirt_domain twice\n")
    assert len(texts("add", "--file", "bad-day.txt")) == 2
    first = zave("rehearse", "faults", "--json").document["faults"][0]["id"]
    assert texts("remove", str(first)) == ["fail create libvirt_domain 2 times"]
    assert texts("clear") == []


@pytest.mark.parametrize(
    "words",
    [["add"], ["add", "explode"], ["add", "--file", "absent"], ["remove"], ["remove", "99"], ["clear", "1"]],
)
def test_a_wrong_fault_is_refused(zave: Zave, words: list[str]) -> None:
    result = zave("rehearse", "faults", *words)
    assert result.status == 2
    assert "next:" in result.err or "where:" in result.err


def test_a_file_with_one_wrong_fault_adds_none(zave: Zave, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("crash provider once\nexplode\n")
    result = zave("rehearse", "faults", "add", "--file", "bad.txt")
    assert result.status == 2
    assert "bad.txt:2" in result.err
    assert zave("rehearse", "faults", "--json").document["faults"] == []


def test_lose_takes_a_thing_away_and_the_log_tells(zave: Zave, world: World) -> None:
    assert zave("rehearse", "lose", "libvirt_domain", "zave-lab").status == 0
    assert world.things() == []
    verbs = [event["verb"] for event in zave("rehearse", "log", "--json").document["events"]]
    assert verbs == ["create", "lose"]


def test_lose_stop_only_switches_off(zave: Zave, world: World) -> None:
    assert zave("rehearse", "lose", "libvirt_domain", "zave-lab", "--stop").status == 0
    (thing,) = world.things()
    assert thing.attributes["running"] is False


@pytest.mark.usefixtures("world")
def test_losing_what_is_not_there_names_what_is(zave: Zave) -> None:
    result = zave("rehearse", "lose", "libvirt_domain", "zave-labb")
    assert result.status == 2
    assert "libvirt_domain zave-lab" in result.err


def record(directory: StateDirectory) -> None:
    store = StateStore.open(directory, clock=SystemClock())
    now = SystemClock().now()
    store.save_instance(InstanceRecord("lab", "homelab", "libvirt-k3s", "ready", now))
    store.backup()
    store.close()
    directory.instance("lab").prepare()


def test_reset_forgets_rehearsals_and_nothing_else(
    zave: Zave, directory: StateDirectory, world: World, state: Path
) -> None:
    record(directory)
    record(StateDirectory.locate({"ZAVE_STATE_DIR": str(state)}, rehearsal=False))
    assert zave("rehearse", "reset").status == 2  # nobody to ask
    assert len(world.things()) == 1
    assert zave("rehearse", "reset", "--yes").status == 0
    assert world.things() == []
    assert zave("status", "--rehearse", "--json").document["environments"] == []
    assert not directory.instance("lab").root.exists()
    assert [each["name"] for each in zave("status", "--json").document["environments"]] == ["lab"]


def test_reset_where_nothing_was_ever_rehearsed_has_nothing_to_forget(
    zave: Zave, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAVE_STATE_DIR", str(state / "new"))
    assert zave("rehearse", "reset", "--yes").status == 0


def test_reset_waits_for_nobody_and_harms_no_run(zave: Zave, directory: StateDirectory, world: World) -> None:
    record(directory)
    lock = InstanceLock(directory.instance("lab").lock)
    with lock.acquire(Holder.here(command="up", run_id="r", since=SystemClock().now())):
        assert zave("rehearse", "reset", "--yes").status == 4
    assert len(world.things()) == 1
    assert [each["name"] for each in zave("status", "--rehearse", "--json").document["environments"]] == [
        "lab"
    ]
