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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.rehearsal.killing import kill_everything, processes_knowing, send
from zave.rehearsal.world import Thing, World

ZAVE = Path(sys.executable).with_name("zave")
BOUNDARIES = ("step.started", "step.finished")
# seconds; a rehearsal takes a few, so this means that it hangs
LIMIT = 180.0


class DrillError(Exception):
    """An invariant does not hold."""


@dataclass(frozen=True)
class Kill:
    """One kill: at `moment` (a fraction of the typical duration) or at the `boundary`-th step event."""

    command: str
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

    seconds: dict[str, float]
    boundaries: dict[str, int]
    standing: Counter[str]


def kills(seed: int, count: int, *, boundaries: dict[str, int], every_boundary: bool) -> list[Kill]:
    """`count` kills; with `every_boundary` these are all at random moments and each boundary comes on top."""
    chance = random.Random(seed)
    planned: list[Kill] = []
    commands = tuple(boundaries)
    for number in range(count):
        rounds = number // len(commands)
        command = commands[number % len(commands)]
        # each command gets each kind of moment, and each kind of kill, in a few rounds
        at_boundary = not every_boundary and boundaries[command] > 0 and (number + rounds) // 2 % 2 == 1
        planned.append(
            Kill(
                command,
                everything=(number + rounds) % 2 == 0,
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
            for command in commands
            for boundary in range(boundaries[command])
            for everything in (False, True)
        ]
    chance.shuffle(planned)
    return planned


class Drill:
    """One state directory after another, killed in. This one drills the home lab."""

    instance: ClassVar[str] = "homelab"
    # each command, and what may be run instead of it to recover
    opposite: ClassVar[dict[str, str]] = {"up": "down", "down": "up"}
    # the commands that have something to do only while the instance stands, and those after which it does
    needs: ClassVar[frozenset[str]] = frozenset({"down"})
    makes: ClassVar[frozenset[str]] = frozenset({"up"})

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

    @property
    def terraform_state(self) -> Path:
        """Terraform's own state of the instance."""
        return self.records / "instances" / self.instance / "terraform" / "terraform.tfstate"

    def words(self, command: str) -> tuple[str, ...]:
        """The command line of a command."""
        return (command, self.instance, "--yes")

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
        """One clean life, to know what a run without a kill looks like."""
        self.begin_afresh()
        self.measured = self.live(tuple(self.opposite))
        if not self.measured.standing or not all(self.measured.boundaries.values()):
            raise DrillError("a clean run made nothing or told of no step: there is nothing to drill")

    def live(self, commands: Sequence[str]) -> Measured:
        """Run `commands` undisturbed: how long they take, their boundaries, what stands after the first."""
        seconds: dict[str, float] = {}
        boundaries: dict[str, int] = {}
        standing: Counter[str] = Counter()
        for command in commands:
            began = time.monotonic()
            output = self.run(*self.words(command))
            seconds[command] = time.monotonic() - began
            boundaries[command] = sum(event.get("event") in BOUNDARIES for event in documents(output))
            standing = standing or self.standing()
        return Measured(seconds, boundaries, standing)

    @contextmanager
    def world(self) -> Iterator[World]:
        """The simulated world."""
        world = World.open(self.records / "world.db")
        try:
            yield world
        finally:
            world.close()

    def standing(self) -> Counter[str]:
        """What stands in the world; files that only exist on the machine are not in it."""
        if not (self.records / "world.db").exists():
            return Counter()
        with self.world() as world:
            return Counter(self.title(thing) for thing in world.things() if self.counts(thing))

    def counts(self, thing: Thing) -> bool:
        """Whether the thing is of the instance's and on a platform."""
        return not thing.local

    def title(self, thing: Thing) -> str:
        """What the thing is called in every life."""
        return f"{thing.type} {thing.name}"

    def strike(self, kill: Kill) -> bool:
        """Run the command and kill it. False when it had ended before the blow."""
        process = self.start(*self.words(kill.command))
        struck = threading.Event()

        def blow() -> None:
            if not struck.is_set() and process.poll() is None:
                struck.set()
                if kill.everything:
                    kill_everything(process.pid, self.state)
                else:
                    send(process.pid, signal.SIGKILL)

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

    def prepare(self, kill: Kill) -> None:
        """Set the scene for the kill."""
        if kill.fresh and not self.standing():
            self.begin_afresh()

    def in_order(self, planned: Sequence[Kill]) -> Iterator[Kill]:
        """The kills, each when its command has something to do as long as there is such a one."""
        waiting = list(planned)
        while waiting:
            stands = bool(self.standing())
            fitting = next((kill for kill in waiting if (kill.command in self.needs) == stands), waiting[0])
            waiting.remove(fitting)
            yield fitting

    def drill(self, kill: Kill) -> str:
        """One kill and its recovery. Raises DrillError when anything is not as it must be."""
        self.prepare(kill)
        struck = self.strike(kill)
        self.check_everything_known()
        command = self.opposite[kill.command] if kill.opposite else kill.command
        if kill.recovery_killed_at is not None:
            again = Kill(command, everything=not kill.everything, moment=kill.recovery_killed_at)
            self.strike(again)
            self.check_everything_known()
        if command in self.needs and not self.recorded():
            # killed before it recorded anything: there is nothing to take down, and zave says so (exit 2)
            if self.standing():
                raise DrillError("something stands although nothing was ever recorded")
            beginnings = self.makes - self.needs
            command = kill.command if kill.command in beginnings else next(iter(beginnings))
        began = time.monotonic()
        self.run(*self.words(command))
        seconds = time.monotonic() - began
        self.check_converged(command)
        return f"{'killed' if struck else 'had ended'}, {command} took {seconds:.1f} s"

    def recorded(self) -> bool:
        """Whether the record knows the instance."""
        # 6: past its end
        status = json.loads(self.run("status", expected=(0, 6)))
        return any(each["name"] == self.instance for each in status["environments"])

    def check_everything_known(self) -> None:
        """The sweep knows all that stands: what stood before it and still stands after it is listed."""
        before = self.standing()
        # 6: leaks, which are known things too
        output = self.run("sweep", self.instance, expected=(0, 6))
        after = self.standing()
        inventory = json.loads(output)
        groups = ("expected", "standing", "leaks")
        items = [item for group in groups for item in inventory[group]]
        unknown = self.unknown(before & after, items)
        if unknown:
            raise DrillError(f"neither record nor sweep knows of {sorted(unknown)}")

    def unknown(self, standing: Counter[str], items: Sequence[dict[str, Any]]) -> set[str]:
        """What stands and is not among the items of the sweep."""
        return standing.keys() - {f"{item['type']} {item['name']}" for item in items}

    def check_converged(self, command: str) -> None:
        """World, record, Terraform's state, database and process table after `command` ended with 0."""
        stands = command in self.makes
        expected = self.measured.standing if stands else Counter()
        standing = self.standing()
        if standing != expected:
            missing, surplus = expected - standing, standing - expected
            raise DrillError(f"the world lacks {dict(missing)} and has too much {dict(surplus)}")
        self._check_terraform_state(empty=not stands)
        self._check_records(command)
        deadline = time.monotonic() + 10
        while left := processes_knowing(self.state):
            if time.monotonic() > deadline:
                raise DrillError(f"processes were left behind: {sorted(left)}")
            time.sleep(0.05)
        if stands:
            self.run("drift", self.instance)

    def _check_terraform_state(self, *, empty: bool) -> None:
        path = self.terraform_state
        if empty and not path.exists():
            return
        try:
            resources = json.loads(path.read_bytes())["resources"]
        except (OSError, ValueError, KeyError) as error:
            raise DrillError(f"{path} cannot be read: {error}") from error
        if bool(resources) == empty:
            raise DrillError(f"{path} holds {len(resources)} resources")

    def _check_records(self, command: str) -> None:
        database = sqlite3.connect(f"file:{self.records / 'state.db'}?mode=ro", uri=True)
        try:
            verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            database.close()
        if verdict != "ok":
            raise DrillError(f"state.db: {verdict}")
        if (self.records / "damaged").exists():
            raise DrillError("state.db was found damaged and restored: a kill must not damage it")
        status = json.loads(self.run("status", self.instance))
        phases = [environment["phase"] for environment in status["environments"]]
        wanted = (["ready"],) if command in self.makes else (["destroyed"], ["absent"], [])
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


def run_drill(make: Callable[[Path], Drill], *, about: str | None) -> int:
    """Read the command line and run the drill; 0 when every kill was survived."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=200, help="kills (default: 200)")
    parser.add_argument("--every-boundary", action="store_true", help="each step boundary on top, both ways")
    given = parser.parse_args()
    print(f"kill drill: seed {given.seed}, count {given.count}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="zave-drill-"))
    drill, done, kill = make(folder), 0, None
    try:
        drill.measure()
        planned = kills(
            given.seed,
            given.count,
            boundaries=drill.measured.boundaries,
            every_boundary=given.every_boundary,
        )
        for done, kill in enumerate(drill.in_order(planned), start=1):
            print(f"{done}/{len(planned)} {kill}: {drill.drill(kill)}", flush=True)
    except DrillError as error:
        print(f"FAILED at {done} ({kill}), seed {given.seed}, count {given.count}: {error}")
        print(f"the state directory is kept: {drill.state}")
        return 1
    shutil.rmtree(folder)
    print(f"kill drill: seed {given.seed}, count {given.count}: {done} kills survived")
    return 0


if __name__ == "__main__":
    sys.exit(run_drill(Drill, about=__doc__))
