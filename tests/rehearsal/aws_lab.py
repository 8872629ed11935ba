"""A laboratory for the AWS demo: a set-up account, and a demo that is up, without making them each time."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.rehearsal.audit import title_of
from tests.rehearsal.lab import Ended, Lab
from zave.rehearsal.world import Thing, WorldEvent

INSTANCE = "aws-demo"
ZONE = "Z0123456789ABCDEFGHIJ"
# what a spec says for names in Route 53 and backups, instead of what the shipped one says
_EXTRAS = {
    "profile: slim}": "profile: slim, extras: [external-dns, velero], "
    "variables: {velero_bucket: my-backups, velero_region: us-east-1}}",
    "ingress: {service: load-balancer}": f"ingress: {{domain: demo.example.org, zone: {ZONE}}}",
}


@dataclass
class AwsLab(Lab):
    """A lab in whose world there is an AWS account."""

    standing_parts: frozenset[str] = frozenset()

    def demo(self, *arguments: str) -> Ended:
        """`zave demo aws` in rehearsal, told in JSON lines."""
        return self.zave("demo", "aws", "--rehearse", "--yes", "-o", "json", *arguments)

    def end(self, *arguments: str, instance: str = INSTANCE) -> Ended:
        """`zave down` of the demo in rehearsal, told in JSON lines."""
        return self.zave("down", instance, "--rehearse", "--yes", "-o", "json", *arguments)

    def ok(self, *arguments: str) -> Ended:
        """A zave in rehearsal that must succeed."""
        # a command of the rehearsal itself needs no --rehearse
        rehearse = () if arguments[0] == "rehearse" else ("--rehearse",)
        ended = self.zave(*arguments, *rehearse, "-o", "json")
        assert ended.exit_code == 0, ended.told()
        return ended

    def status(self, instance: str = INSTANCE) -> dict[str, Any]:
        """The instance's part of `zave/status/v1`."""
        ended = self.zave("status", instance, "--rehearse", "-o", "json")
        # 6: past its end, and stands
        assert ended.exit_code in (0, 6), ended.told()
        (document,) = ended.documents
        (found,) = document["environments"]
        status: dict[str, Any] = found
        return status

    def parts(self) -> list[Thing]:
        """What is in the account beside its standing parts; a key that is pending deletion is not."""
        with self.world() as world:
            things = world.things(provider="aws")
        return [each for each in things if each.key not in self.standing_parts and not each.pending]

    def titles(self) -> list[str]:
        """What the parts are called in every life, sorted."""
        return sorted(title_of(part.type, part.name) for part in self.parts())

    def log(self, *, since: int = 0) -> Sequence[WorldEvent]:
        """The world's log."""
        with self.world() as world:
            return world.log(since=since)

    def now(self) -> datetime:
        """The virtual moment."""
        with self.world() as world:
            return datetime.fromtimestamp(world.clock.timestamp(), UTC)

    def in_bucket(self, prefix: str) -> dict[str, Any]:
        """The JSON documents in the simulated bucket below a prefix, by file name."""
        folder = self.state / "rehearsal" / "bucket" / prefix
        return {path.name: json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def switch_extras_on(lab: AwsLab, project: Path) -> tuple[str, str]:
    """Make a project whose demo has both extras of AWS; the option with which zave takes it."""
    lab.ok("init", str(project))
    file = project / "environments" / INSTANCE / "environment.yaml"
    text = file.read_text()
    for shipped, wanted in _EXTRAS.items():
        assert shipped in text
        text = text.replace(shipped, wanted)
    file.write_text(text)
    return ("--project", str(project))


@dataclass
class Stages:
    """Copies of one lab's state directory, used at the one path that its records name."""

    lab: AwsLab
    folder: Path

    def begin(self, stage: str) -> AwsLab:
        """The lab as it is with the `account` set up, or with the `demo` up; made once."""
        kept = self.folder / stage
        if kept.exists():
            shutil.rmtree(self.lab.state, ignore_errors=True)
            shutil.copytree(kept, self.lab.state, symlinks=True)
            return self.lab
        if stage == "account":
            self.lab.ok("account", "setup", "--yes")
            with self.lab.world() as world:
                self.lab.standing_parts = frozenset(thing.key for thing in world.things())
        else:
            self.begin("account")
            ended = self.lab.demo("--ttl", "48h")
            assert ended.exit_code == 0, ended.told()
        shutil.copytree(self.lab.state, kept, symlinks=True)
        return self.lab
