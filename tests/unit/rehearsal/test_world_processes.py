"""The world as it is used: by several processes at once, any of which may be killed."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from zave.rehearsal.world import CRASH_EXIT, Draft, World

DraftOf = Callable[..., Draft]

PREAMBLE = """
import sys
from pathlib import Path
from zave.rehearsal.world import Draft, World, WorldError

def draft(name, seconds=1.0):
    return Draft("libvirt", "libvirt_domain", name, name, {"name": name}, seconds=seconds)

def go():
    print("up", flush=True)
    sys.stdin.readline()

path = Path(sys.argv[1])
"""

CREATE_ONE = """
world = World.open(path)
go()
try:
    world.create(draft(sys.argv[2]))
    print("made")
except WorldError as error:
    print(error.summary)
"""

OPEN_AND_COUNT = """
go()
world = World.open(path)
print(*[world.counter("n") for _ in range(20)])
"""

CREATE_AND_HANG = """
world = World.open(path)
world.clock.set_speed(1)
go()
world.create(draft("web", seconds=100000))
"""

CHURN = """
world = World.open(path)
go()
number = 0
while True:
    number += 1
    thing = world.create(draft(f"{sys.argv[2]}-{number}"))
    world.update(thing.key, {"name": thing.name, "text": "x" * 2000})
    world.put_document("seen", thing.name, {"number": number})
    if number % 2:
        world.delete(thing.key)
"""


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def _release(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def _answers(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    return [process.communicate(timeout=60)[0].strip() for process in processes]


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_once_strikes_once_among_racing_processes(world: World, world_path: Path) -> None:
    world.faults.add('fail create libvirt_domain with "struck" once')
    processes = [_start(CREATE_ONE, str(world_path), f"web-{number}") for number in range(8)]
    _release(processes)
    assert sorted(_answers(processes)) == ["made"] * 7 + ["struck"]
    assert len(world.things()) == 7


def test_of_racing_creations_of_one_name_one_wins(world: World, world_path: Path) -> None:
    processes = [_start(CREATE_ONE, str(world_path), "web") for _ in range(8)]
    _release(processes)
    assert sorted(_answers(processes)) == ["domain 'web' already exists"] * 7 + ["made"]
    assert len(world.things()) == 1


def test_many_processes_may_make_one_world_at_once(world_path: Path) -> None:
    processes = [_start(OPEN_AND_COUNT, str(world_path)) for _ in range(8)]
    _release(processes)
    numbers = [int(number) for answer in _answers(processes) for number in answer.split()]
    assert sorted(numbers) == list(range(1, 161))
    assert [path.name for path in world_path.parent.glob("*.db*") if path.name.startswith(".")] == []


def test_killed_creation_leaves_its_thing_and_holds_nobody_up(
    world: World, world_path: Path, draft: DraftOf
) -> None:
    process = _start(CREATE_AND_HANG, str(world_path))
    _release([process])
    deadline = time.monotonic() + 30
    while not world.things() and time.monotonic() < deadline:
        time.sleep(0.01)
    _end(process)
    world.clock.set_speed(0)
    assert [(thing.name, thing.state) for thing in world.things()] == [("web", "creating")]
    before = world.clock.now()
    world.create(draft("other", seconds=10))
    assert (world.clock.now() - before).total_seconds() == 10
    world.clock.advance(100_000)
    assert {thing.state for thing in world.things()} == {"present"}


def test_killed_deletion_leaves_its_thing(world: World, world_path: Path, draft: DraftOf) -> None:
    key = world.create(draft("web", seconds=1)).key
    script = f"""
world = World.open(path)
world.clock.set_speed(1)
go()
world.delete({key!r}, seconds=100000)
"""
    process = _start(script, str(world_path))
    _release([process])
    deadline = time.monotonic() + 30
    while world.things()[0].state == "present" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert world.things()[0].state == "deleting"
    _end(process)
    assert world.things()[0].state == "present"


def test_provider_that_crashes_exits_at_once(world: World, world_path: Path) -> None:
    world.faults.add("crash provider on create libvirt_domain")
    process = _start(CREATE_ONE, str(world_path), "web")
    _release([process])
    assert _answers([process]) == [""]
    assert process.returncode == CRASH_EXIT
    assert [thing.name for thing in world.things()] == ["web"]


def test_world_stays_whole_while_its_users_are_killed(world_path: Path) -> None:
    seed = int(os.environ.get("ZAVE_TEST_SEED", "20261123"))
    chance = random.Random(seed)
    for round_ in range(12):
        users = [_start(CHURN, str(world_path), f"user-{round_}-{number}") for number in range(3)]
        _release(users)
        for user in users:
            time.sleep(chance.uniform(0.0, 0.06))
            user.send_signal(signal.SIGKILL)
        for user in users:
            _end(user)
        connection = sqlite3.connect(world_path)
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok", f"seed {seed}"
        connection.close()
    world = World.open(world_path)
    names = [thing.name for thing in world.things()]
    assert len(names) == len(set(names))
    # nothing that the dead left behind holds up the living
    world.clock.sleep(1)
    world.reset()
    world.close()
