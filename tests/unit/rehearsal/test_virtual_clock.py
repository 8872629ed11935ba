import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from zave.errors import InterruptedRunError, UsageError
from zave.rehearsal.clock import CancelledError, VirtualClock
from zave.rehearsal.database import Database
from zave.rehearsal.operations import Operation, Operations, Process, this_process
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def database(world_path: Path) -> Iterator[Database]:
    database = Database(world_path, now=1_000_000.0)
    yield database
    database.close()


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def _register_for(database: Database, pid: int, finishes_at: float) -> Operation:
    """An operation of another process, as that process would have registered it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    with database.write() as connection:
        cursor = connection.execute(
            "INSERT INTO operations (pid, started, action, thing, finishes_at)"
            " VALUES (?, ?, 'create', '', ?)",
            (pid, int(fields[19]), finishes_at),
        )
    return Operation(cursor.lastrowid or 0, Process(pid, int(fields[19])), "create", "", finishes_at)


def _wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("the condition was never met")


def _run_all(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_short_operation_ends_before_a_long_one_that_began_first(world: World, draft: DraftOf) -> None:
    start = world.clock.now()
    ended: dict[str, timedelta] = {}

    def create(name: str, seconds: float) -> None:
        world.create(draft(name, seconds=seconds))
        ended[name] = world.clock.now() - start

    _run_all(lambda: create("long", 600), lambda: create("short", 2), lambda: create("middle", 60))
    assert list(ended) == ["short", "middle", "long"]
    assert ended["long"] == timedelta(seconds=600)


def test_dependent_begins_when_its_dependency_ended(world: World, draft: DraftOf) -> None:
    start = world.clock.now()

    def chain() -> None:
        world.create(draft("volume", seconds=2))
        world.create(draft("machine", seconds=30))

    _run_all(lambda: world.create(draft("network", seconds=100)), chain)
    begun = {thing.name: thing.created_at - start for thing in world.things()}
    assert begun["machine"] == timedelta(seconds=2)
    assert world.clock.now() - start == timedelta(seconds=100)


def test_sleep_passes_in_order_with_operations(database: Database) -> None:
    clock = VirtualClock(database, Operations(database))
    with database.write() as connection:
        making = clock.begin(connection, 15, action="create")
    clock.sleep(10)
    assert clock.timestamp() == 1_000_010
    ended: list[str] = []

    def sleep() -> None:
        clock.sleep(10)
        ended.append(f"sleep at {clock.timestamp():.0f}")

    def make() -> None:
        clock.wait(making)
        ended.append("making")

    _run_all(sleep, make)
    assert ended == ["making", "sleep at 1000020"]


def test_time_stands_still_when_nothing_happens(world: World) -> None:
    before = world.clock.now()
    world.clock.sleep(0)
    world.clock.sleep(-5)
    assert world.clock.now() == before


def test_sleep_and_advance_move_time_for_every_reader(world: World, world_path: Path) -> None:
    other = World.open(world_path)
    before = other.clock.now()
    world.clock.sleep(90)
    world.clock.advance(49 * 3600)
    assert other.clock.now() - before == timedelta(hours=49, seconds=90)
    other.close()


def test_clock_never_runs_backwards(world: World) -> None:
    with pytest.raises(UsageError):
        world.clock.advance(-1)


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf"), 1e12])
def test_absurd_speeds_are_refused(world: World, speed: float) -> None:
    with pytest.raises(UsageError):
        world.clock.set_speed(speed)
    assert world.clock.speed == 0


def test_with_a_speed_time_follows_the_machine(database: Database) -> None:
    real = [500.0]
    clock = VirtualClock(database, Operations(database), real=lambda: real[0])
    clock.set_speed(60)
    real[0] += 2
    assert clock.timestamp() == 1_000_120
    clock.advance(3600)
    assert clock.timestamp() == 1_003_720
    real[0] += 1
    clock.set_speed(0)
    real[0] += 1000
    assert clock.timestamp() == 1_003_780


def test_with_a_speed_time_stands_rather_than_runs_back_after_a_reboot(database: Database) -> None:
    real = [5000.0]
    clock = VirtualClock(database, Operations(database), real=lambda: real[0])
    clock.set_speed(60)
    real[0] = 3.0
    assert clock.timestamp() == 1_000_000
    clock.set_speed(60)
    real[0] = 4.0
    assert clock.timestamp() == 1_000_060


def test_after_a_reboot_operations_still_complete(database: Database) -> None:
    real = [5000.0]
    clock = VirtualClock(database, Operations(database), real=lambda: real[0])
    with database.write() as connection:
        connection.execute("UPDATE clock SET completed = 4999.999")
    real[0] = 3.0
    clock.sleep(5)
    assert clock.timestamp() == 1_000_005


def test_with_a_speed_waiting_is_really_done(database: Database) -> None:
    real = [500.0]
    clock = VirtualClock(database, Operations(database), real=lambda: real[0])
    clock.set_speed(60)
    sleeper = threading.Thread(target=clock.sleep, args=(120,))
    sleeper.start()
    _wait_for(lambda: bool(database.rows("SELECT * FROM operations")))
    real[0] += 1.9
    sleeper.join(0.05)
    assert sleeper.is_alive()
    real[0] += 0.2
    sleeper.join()
    assert clock.timestamp() == pytest.approx(1_000_126)


def test_operation_of_a_dead_process_holds_nobody_up(
    database: Database, other_process: subprocess.Popen[str]
) -> None:
    _register_for(database, other_process.pid, 1_000_001)
    other_process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)  # a zombie, not yet reaped
    clock = VirtualClock(database, Operations(database))
    clock.sleep(60)
    assert clock.timestamp() == 1_000_060
    assert database.rows("SELECT * FROM operations") == []


def test_operation_of_a_reused_pid_holds_nobody_up(
    database: Database, other_process: subprocess.Popen[str]
) -> None:
    _register_for(database, other_process.pid, 1_000_001)
    with database.write() as connection:
        connection.execute("UPDATE operations SET started = started - 1")
    clock = VirtualClock(database, Operations(database))
    clock.sleep(60)
    assert clock.timestamp() == 1_000_060


def test_operation_of_a_stopped_process_holds_nobody_up_and_stays(
    database: Database, other_process: subprocess.Popen[str]
) -> None:
    _register_for(database, other_process.pid, 1_000_001)
    other_process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, other_process.pid, os.WSTOPPED | os.WNOWAIT)
    clock = VirtualClock(database, Operations(database))
    clock.sleep(60)
    assert clock.timestamp() == 1_000_060
    assert len(database.rows("SELECT * FROM operations")) == 1


def test_operation_of_a_living_process_goes_first(
    database: Database, other_process: subprocess.Popen[str]
) -> None:
    theirs = _register_for(database, other_process.pid, 1_000_001)
    operations = Operations(database)
    clock = VirtualClock(database, operations)
    sleeper = threading.Thread(target=clock.sleep, args=(60,))
    sleeper.start()
    sleeper.join(0.1)
    assert sleeper.is_alive()
    assert clock.timestamp() == 1_000_000
    with database.write() as connection:
        operations.remove(connection, theirs)
    sleeper.join()
    assert clock.timestamp() == 1_000_060


def test_a_process_knows_itself_to_live() -> None:
    assert this_process().life() == "running"
    assert Process(this_process().pid, started=1).life() == "dead"


def test_cancel_ends_waiting_with_an_error_that_says_how_to_go_on(world: World) -> None:
    world.clock.set_speed(1)
    errors: list[InterruptedRunError] = []

    def sleep() -> None:
        try:
            world.clock.sleep(100_000)
        except InterruptedRunError as error:
            errors.append(error)

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    world.cancel()
    sleeper.join()
    assert "same command again" in (errors[0].resolution or "")
    with pytest.raises(CancelledError):
        world.clock.hang(None)
