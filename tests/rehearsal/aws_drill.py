#!/usr/bin/env python3
"""The kill drill of the AWS demo: zave is killed in `demo`, `extend`, `reap` and `down`.

After each kill one more command must end with 0. Then, besides what the home lab's drill compares, the
world's log is read from its first event on: at no moment did anything that costs exist without a proven
switch, never were there two of anything, and the switch went last.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from tests.rehearsal.audit import crowds, title_of, uncovered
from tests.rehearsal.kill_drill import Drill, DrillError, Kill, Measured, run_drill
from zave.rehearsal.world import Thing, WorldEvent


class AwsDrill(Drill):
    """Drills the AWS demo, in an account that is set up."""

    instance: ClassVar[str] = "aws-demo"
    # of a demo whose end has come nothing is left but to take it down
    opposite: ClassVar[dict[str, str]] = {"demo": "down", "extend": "down", "reap": "down", "down": "demo"}
    needs: ClassVar[frozenset[str]] = frozenset({"extend", "reap", "down"})
    makes: ClassVar[frozenset[str]] = frozenset({"demo", "extend"})

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.standing_parts: frozenset[str] = frozenset()
        self.usual: Counter[str] = Counter()

    @property
    def terraform_state(self) -> Path:
        """Terraform's own state of the instance: in the bucket."""
        return self.records / "bucket" / "instances" / self.instance / "terraform.tfstate"

    def words(self, command: str) -> tuple[str, ...]:
        """The command line of a command."""
        match command:
            case "demo":
                return ("demo", "aws", "--ttl", "48h", "--yes")
            case "extend":
                return ("extend", self.instance, "--ttl", "60h")
            case "reap":
                return ("reap",)
        return super().words(command)

    def measure(self) -> None:
        """Set the account up, then live once; a copy of each stage is kept to begin from."""
        self.begin_afresh()
        self.run("account", "setup", "--yes")
        with self.world() as world:
            self.standing_parts = frozenset(thing.key for thing in world.things())
        self._keep("account")
        made = self.live(("demo",))
        self._keep("demo")
        began = self.live(("extend",))
        self._expire()
        ended = self.live(("reap",))
        with self.world() as world:
            self.usual = crowds(world.log(), standing=self.standing_parts)
        # `down` is the same teardown as `reap`
        self.measured = Measured(
            made.seconds | began.seconds | ended.seconds | {"down": ended.seconds["reap"]},
            made.boundaries | began.boundaries | ended.boundaries | {"down": ended.boundaries["reap"]},
            made.standing,
        )

    def counts(self, thing: Thing) -> bool:
        """Whether the thing is of the instance's and still costs or stands in the way."""
        return super().counts(thing) and not thing.pending and thing.key not in self.standing_parts

    def title(self, thing: Thing) -> str:
        """What the thing is called in every life: AWS names some by ids."""
        return title_of(thing.type, thing.name)

    def prepare(self, kill: Kill) -> None:
        """Go on where the last kill left off, if that fits; else from a copy."""
        needed = kill.command in self.needs
        if kill.fresh or bool(self.standing()) != needed:
            self._restore("demo" if needed else "account")
        if kill.command == "reap":
            self._expire()

    def unknown(self, standing: Counter[str], items: Sequence[dict[str, Any]]) -> set[str]:
        """What stands and is not among the items of the sweep: by how many there are of a type."""
        stand: Counter[str] = Counter()
        for title, count in standing.items():
            stand[title.partition(" ")[0]] += count
        return set(stand - Counter(item["type"] for item in items))

    def check_converged(self, command: str) -> None:
        """What the home lab's drill checks, then the switch and the world's whole log."""
        super().check_converged(command)
        (switch,) = [each["switch"] for each in self._status()] or [{"armed": False}]
        if switch["armed"] != (command in self.makes):
            raise DrillError(f"after {command} the switch is {switch}")
        with self.world() as world:
            log = world.log()
        self._check_log(log)

    def _check_log(self, log: Sequence[WorldEvent]) -> None:
        found = uncovered(log, standing=self.standing_parts)
        if found:
            raise DrillError("without a switch: " + "; ".join(found))
        twice = crowds(log, standing=self.standing_parts) - self.usual
        if twice:
            raise DrillError(f"at some moment there were too many of {dict(twice)}")

    def _status(self) -> list[dict[str, Any]]:
        # 6: past its end
        output = self.run("status", self.instance, expected=(0, 6))
        environments: list[dict[str, Any]] = json.loads(output)["environments"]
        return environments

    def _expire(self) -> None:
        """Let time pass beyond the demo's end, with a switch that does not fire."""
        with self.world() as world:
            schedule = world.get_document("schedule", self.instance)
            if schedule is None:
                raise DrillError(f"{self.instance} stands without a switch")
            end = datetime.fromisoformat(schedule["first_fire_at"]).timestamp()
            world.clock.advance(max(0.0, end + 60 - world.clock.timestamp()))

    # every copy is used at the one path that its records name

    def _keep(self, stage: str) -> None:
        shutil.copytree(self.state, self.folder / stage, symlinks=True)

    def _restore(self, stage: str) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.folder / stage, self.state, symlinks=True)


if __name__ == "__main__":
    sys.exit(run_drill(AwsDrill, about=__doc__))
