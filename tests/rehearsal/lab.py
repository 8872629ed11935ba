"""A laboratory: zave as people start it, in a state directory of its own, and the world it rehearses in."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zave.rehearsal.world import World

ZAVE = Path(sys.executable).with_name("zave")


@dataclass(frozen=True)
class Ended:
    """A zave that ended: what it said and how."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Every JSON line of stdout."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.strip()]

    @property
    def finished(self) -> dict[str, Any]:
        """The last event of a lifecycle command."""
        last = self.documents[-1]
        assert last["event"] == "run.finished", self.told()
        return last

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt of a `down`."""
        receipts = [line["receipt"] for line in self.documents if line["event"] == "receipt"]
        assert len(receipts) == 1, self.told()
        receipt: dict[str, Any] = receipts[0]
        return receipt

    @property
    def error(self) -> dict[str, Any]:
        """The error that ended a lifecycle command."""
        error = self.finished["error"]
        assert isinstance(error, dict), self.told()
        return error

    def complaint(self) -> str:
        """All that the error tells people, in one text."""
        return " ".join(str(self.error[part] or "") for part in ("brief", "where", "details", "resolution"))

    def told(self) -> str:
        """Everything, for a failed assertion."""
        return f"exit {self.exit_code}\n{self.stdout[-6000:]}\n{self.stderr[-6000:]}"


@dataclass
class Lab:
    """A state directory with zave and the simulated world in it."""

    state: Path
    home: Path
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """The whole environment of a zave in this lab."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.home), "ZAVE_STATE_DIR": str(self.state)}
        return own | self.environ

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A zave that runs; the caller waits for it."""
        return subprocess.Popen(
            [ZAVE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=self.home,
            env=self.environment(),
        )

    def zave(self, *arguments: str, timeout: float = 120) -> Ended:
        """Run zave to its end."""
        with self.start(*arguments) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Ended(process.returncode, stdout, stderr)

    def up(self, *arguments: str) -> Ended:
        """`zave up homelab` in rehearsal, told in JSON lines."""
        return self.zave("up", "homelab", "--rehearse", "--yes", "-o", "json", *arguments)

    def down(self, *arguments: str) -> Ended:
        """`zave down homelab` in rehearsal, told in JSON lines."""
        return self.zave("down", "homelab", "--rehearse", "--yes", "-o", "json", *arguments)

    @contextmanager
    def world(self) -> Iterator[World]:
        """The simulated world."""
        world = World.open(self.state / "rehearsal" / "world.db")
        try:
            yield world
        finally:
            world.close()

    def standing(self) -> Counter[str]:
        """What stands in the world, as `type name` with how many there are of it."""
        with self.world() as world:
            return Counter(f"{thing.type} {thing.name}" for thing in world.things() if not thing.local)

    @property
    def terraform_state(self) -> Path:
        """Terraform's own state of the home lab."""
        return self.state / "rehearsal" / "instances" / "homelab" / "terraform" / "terraform.tfstate"
