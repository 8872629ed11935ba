#!/usr/bin/env python3
"""The kill drill: zave is killed with SIGKILL again and again, and must converge each time.

Half of the kills hit zave alone, half zave with every descendant. Some hit at a random moment, some at a
step boundary. After each kill the same or the opposite command runs once and must end with 0; then the
simulated world, Terraform's state, the record and the process table are compared with what they must be.
A seed repeats the same kills (not the same microseconds: the machine has a say in those).
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zave.rehearsal.world import World

Command = Literal["up", "down"]
ZAVE = Path(sys.executable).with_name("zave")
OPPOSITE: dict[Command, Command] = {"up": "down", "down": "up"}
BOUNDARIES = ("step.started", "step.finished")
# seconds; a rehearsal takes a few, so this means that it hangs
LIMIT = 180.0


class DrillError(Exception):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Kill:
    """One kill: at `moment` (a fraction of the typical duration) or at the `boundary`-th step event."""

    command: Command
    everything: bool
    moment: float = 0.0
    boundary: int | None = None
    fresh: bool = False
    recovery_killed_at: float | None = None
    opposite: bool = False

    def __str__(self) -> str:
        where = f"boundary {self.boundary}" if self.boundary is not None else f"{self.moment:.0%}"
        again = f", again at {self.recovery_killed_at:.0%}" if self.recovery_killed_at is not None else ""
        return f"{self.command} at {where}, {'zave and children' if self.everything else 'zave alone'}{again}"


@dataclass(frozen=True)
class Measured:
    """What a run without a kill looks like."""

    seconds: dict[Command, float]
    boundaries: dict[Command, int]
    standing: Counter[str]


def kills(seed: int, count: int, *, boundaries: dict[Command, int], every_boundary: bool) -> list[Kill]:
    """`count` kills; with `every_boundary` these are all at random moments and each boundary comes on top."""
    chance = random.Random(seed)
    planned: list[Kill] = []
    sides: tuple[Command, Command] = ("up", "down")
    for number in range(count):
        command = sides[number % 2]
        at_boundary = not every_boundary and number % 4 >= 2
        planned.append(
            Kill(
                command,
                everything=(number // 2) % 2 == 0 if not at_boundary else chance.random() < 0.5,
                moment=chance.random(),
                boundary=chance.randrange(boundaries[command]) if at_boundary else None,
                fresh=chance.random() < 0.2,
                recovery_killed_at=chance.random() if chance.random() < 0.15 else None,
                opposite=chance.random() < 0.3,
            )
        )
    if every_boundary:
        planned += [
            Kill(command, everything=everything, boundary=boundary)
            for command in sides
            for boundary in range(boundaries[command])
            for everything in (False, True)
        ]
    chance.shuffle(planned)
    return planned


# processes


def processes_knowing(folder: Path) -> set[int]:
    """Live processes whose environment names `folder`: all that zave starts inherit that."""
    needle, found = os.fsencode(folder), set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def descendants(root: int) -> set[int]:
    """Every process below `root`, whatever its session."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # after the name in brackets, which may hold anything: state, ppid
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = set(), [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found


def kill_everything(root: int, folder: Path) -> None:
    """Stop `root` and all that belongs to it, then kill them: none can start another in between."""
    stopped: set[int] = set()
    while more := ({root} | descendants(root) | processes_knowing(folder)) - stopped:
        for pid in more:
            _signal(pid, signal.SIGSTOP)
        stopped |= more
    for pid in stopped:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended by itself


# the drill


class Drill:
    """One state directory after another, killed in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.generation = 0
        self.state = folder
        self.measured = Measured({}, {}, Counter())

    def begin_afresh(self) -> None:
        """Go on in an empty state directory; the old one is no longer needed."""
        if self.generation:
            shutil.rmtree(self.state)
        self.generation += 1
        self.state = self.folder / f"state-{self.generation}"

    @property
    def records(self) -> Path:
        """Where zave keeps what it knows about rehearsals."""
        return self.state / "rehearsal"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """A zave whose output is JSON."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "ZAVE_STATE_DIR": str(self.state)}
        return subprocess.Popen(
            [ZAVE, *arguments, "--rehearse", "-o", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self.folder,
            env=environ,
        )

    def run(self, *arguments: str, expected: Sequence[int] = (0,)) -> str:
        """Run zave to its end; its stdout."""
        with self.start(*arguments) as process:
            try:
                output, talk = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired as error:
                kill_everything(process.pid, self.state)
                raise DrillError(f"zave {' '.join(arguments)} did not end in {LIMIT:.0f} s") from error
        if process.returncode not in expected:
            said = f"{output[-4000:]}\n{talk[-4000:]}"
            raise DrillError(f"zave {' '.join(arguments)} ended with {process.returncode}\n{said}")
        return output

    def measure(self) -> None:
        """One clean life: how long each half takes, how many boundaries it has, what stands in between."""
        self.begin_afresh()
        seconds: dict[Command, float] = {}
        boundaries: dict[Command, int] = {}
        standing: Counter[str] = Counter()
        halves: tuple[Command, Command] = ("up", "down")
        for command in halves:
            began = time.monotonic()
            output = self.run(command, "homelab", "--yes")
            seconds[command] = time.monotonic() - began
            boundaries[command] = sum(event.get("event") in BOUNDARIES for event in documents(output))
            standing = standing or self.standing()
        if not standing or not all(boundaries.values()):
            raise DrillError("a clean run made nothing or told of no step: there is nothing to drill")
        self.measured = Measured(seconds, boundaries, standing)

    def standing(self) -> Counter[str]:
        """What stands in the world; files that only exist on the machine are not in it."""
        if not (self.records / "world.db").exists():
            return Counter()
        world = World.open(self.records / "world.db")
        try:
            return Counter(f"{thing.type} {thing.name}" for thing in world.things() if not thing.local)
        finally:
            world.close()

    def strike(self, kill: Kill) -> bool:
        """Run the command and kill it. False when it had ended before the blow."""
        process = self.start(kill.command, "homelab", "--yes")
        struck = threading.Event()

        def blow() -> None:
            if not struck.is_set() and process.poll() is None:
                struck.set()
                if kill.everything:
                    kill_everything(process.pid, self.state)
                else:
                    _signal(process.pid, signal.SIGKILL)

        with process:
            reader = threading.Thread(target=self._follow, args=(process, kill.boundary, blow))
            reader.start()
            if kill.boundary is None:
                reader.join(timeout=kill.moment * self.measured.seconds[kill.command])
                blow()
            reader.join(timeout=LIMIT)
            if reader.is_alive():
                kill_everything(process.pid, self.state)
                raise DrillError(f"zave {kill.command} did not end in {LIMIT:.0f} s")
        return struck.is_set()

    @staticmethod
    def _follow(process: "subprocess.Popen[str]", boundary: int | None, blow: Callable[[], None]) -> None:
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            if next(documents(line), {}).get("event") in BOUNDARIES:
                if seen == boundary:
                    blow()
                seen += 1

    def drill(self, kill: Kill) -> str:
        """One kill and its recovery. Raises DrillError when anything is not as it must be."""
        if kill.fresh and not self.standing():
            self.begin_afresh()
        struck = self.strike(kill)
        self.check_everything_known()
        command = OPPOSITE[kill.command] if kill.opposite else kill.command
        if kill.recovery_killed_at is not None:
            again = Kill(command, everything=not kill.everything, moment=kill.recovery_killed_at)
            self.strike(again)
            self.check_everything_known()
        began = time.monotonic()
        self.run(command, "homelab", "--yes")
        seconds = time.monotonic() - began
        self.check_converged(command)
        return f"{'killed' if struck else 'had ended'}, {command} took {seconds:.1f} s"

    def check_everything_known(self) -> None:
        """The sweep knows all that stands: what stood before it and still stands after it is listed."""
        before = self.standing()
        # 6: leaks, which are known things too
        output = self.run("sweep", "homelab", expected=(0, 6))
        after = self.standing()
        inventory = json.loads(output)
        groups = ("expected", "standing", "leaks")
        known = {f"{item['type']} {item['name']}" for group in groups for item in inventory[group]}
        unknown = (before.keys() & after.keys()) - known
        if unknown:
            raise DrillError(f"neither record nor sweep knows of {sorted(unknown)}")

    def check_converged(self, command: Command) -> None:
        """World, record, Terraform's state, database and process table after `command` ended with 0."""
        expected = self.measured.standing if command == "up" else Counter()
        standing = self.standing()
        if standing != expected:
            missing, surplus = expected - standing, standing - expected
            raise DrillError(f"the world lacks {dict(missing)} and has too much {dict(surplus)}")
        self._check_terraform_state(empty=command == "down")
        self._check_records(command)
        deadline = time.monotonic() + 10
        while left := processes_knowing(self.state):
            if time.monotonic() > deadline:
                raise DrillError(f"processes were left behind: {sorted(left)}")
            time.sleep(0.05)
        if command == "up":
            self.run("drift", "homelab")

    def _check_terraform_state(self, *, empty: bool) -> None:
        path = self.records / "instances" / "homelab" / "terraform" / "terraform.tfstate"
        if empty and not path.exists():
            return
        try:
            resources = json.loads(path.read_bytes())["resources"]
        except (OSError, ValueError, KeyError) as error:
            raise DrillError(f"{path} cannot be read: {error}") from error
        if bool(resources) == empty:
            raise DrillError(f"{path} holds {len(resources)} resources")

    def _check_records(self, command: Command) -> None:
        database = sqlite3.connect(f"file:{self.records / 'state.db'}?mode=ro", uri=True)
        try:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            database.close()
        if verdict != "ok":
            raise DrillError(f"state.db: {verdict}")
        if (self.records / "damaged").exists():
            raise DrillError("state.db was found damaged and restored: a kill must not damage it")
        status = json.loads(self.run("status", "homelab"))
        phases = [environment["phase"] for environment in status["environments"]]
        wanted = (["ready"],) if command == "up" else (["destroyed"], ["absent"], [])
        if phases not in wanted:
            raise DrillError(f"the record says {phases} after {command}")


def documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines of `text`; a killed zave may leave half a line."""
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def in_playable_order(planned: Sequence[Kill], stands: Callable[[], bool]) -> Iterator[Kill]:
    """The kills, each when its command has something to do as long as there is such a one."""
    waiting = list(planned)
    while waiting:
        natural = "down" if stands() else "up"
        fitting = next((kill for kill in waiting if kill.command == natural), waiting[0])
        waiting.remove(fitting)
        yield fitting


def main() -> int:
    """Run the drill; 0 when every kill was survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=200, help="kills (default: 200)")
    parser.add_argument("--every-boundary", action="store_true", help="each step boundary on top, both ways")
    given = parser.parse_args()
    print(f"kill drill: seed {given.seed}, count {given.count}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="zave-drill-"))
    drill, done, kill = Drill(folder), 0, None
    try:
        drill.measure()
        planned = kills(
            given.seed,
            given.count,
            boundaries=drill.measured.boundaries,
            every_boundary=given.every_boundary,
        )
        for done, kill in enumerate(in_playable_order(planned, lambda: bool(drill.standing())), start=1):
            print(f"{done}/{len(planned)} {kill}: {drill.drill(kill)}", flush=True)
    except DrillError as error:
        print(f"FAILED at {done} ({kill}), seed {given.seed}, count {given.count}: {error}")
        print(f"the state directory is kept: {drill.state}")
        return 1
    shutil.rmtree(folder)
    print(f"kill drill: seed {given.seed}, count {given.count}: {done} kills survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
