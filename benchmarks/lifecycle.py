#!/usr/bin/env python3
"""What zave costs on top of Terraform: rehearsed lives beside shell scripts that run the same commands.

Two lives: the home lab's, and the AWS demo's in an account that is set up. Of each, one is recorded first:
each Terraform command with its arguments and environment, each template of the root with its values, and
the root's other files. The script copies those files, renders the templates (render_root.py) and runs the
recorded commands in the same order, with the same provider mirror, against a world that is as empty. Then
zave and the script take turns. Prints a table, writes .cache/bench/lifecycle.json.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zave.process import ProcessRunner
from zave.rehearsal.mirror import install_mirror
from zave.steps.infra import VARIABLES
from zave.tools.terraform_engine import Engine, choose_engine

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
ZAVE = Path(sys.executable).with_name("zave")
# the bounds of issue 3, item 2, and of issue 4, item 2
RATIO_BOUND = 1.15
RENDER = Path(__file__).with_name("render_root.py")
# zave as it is, but for a list of what it renders: a JSON object a line
RECORDER = """
import json, os
from zave.render import Renderer
render = Renderer._render
def recorded(self, root, name, values):
    result = render(self, root, name, values)
    with open(os.environ["RENDERED"], "a") as file:
        document = {"folder": str(root), "name": name, "values": dict(values), "result": result.decode()}
        file.write(json.dumps(document) + chr(10))
    return result
Renderer._render = recorded
from zave.cli.app import main
main()
"""
# made by Terraform, not rendered
BY_TERRAFORM = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "terraform.tfstate*", "*.tfplan", ".zave*", "errored.tfstate"
)


@dataclass(frozen=True)
class Life:
    """One environment's life: its instance, the command lines of both halves, the bounds in seconds.

    `before` is run once, and every turn begins from what it made.
    """

    instance: str
    up: tuple[str, ...]
    down: tuple[str, ...]
    bounds: dict[str, float]
    before: tuple[str, ...] | None = None


LIVES = (
    Life(
        "homelab",
        up=("up", "homelab"),
        down=("down", "homelab"),
        bounds={"up": 4.0, "up with nothing to do": 1.0, "down": 4.0},
    ),
    Life(
        "aws-demo",
        up=("demo", "aws", "--ttl", "48h"),
        down=("down", "aws-demo"),
        bounds={"up": 6.0, "up with nothing to do": 1.0, "down": 4.0},
        before=("account", "setup"),
    ),
)


@dataclass(frozen=True)
class Recording:
    """The Terraform commands of `up` and of `down`, their environment, and the root they ran in."""

    up: list[list[str]]
    down: list[list[str]]
    environ: dict[str, str]
    root: Path


class Bench:
    """Both ways through one life, in one folder."""

    def __init__(self, folder: Path, life: Life, engine: Engine) -> None:
        self.folder = folder
        self.life = life
        self.state = folder / "state"
        self.begun = folder / "begun"
        self.prepared = folder / "prepared"
        self.rendered = folder / "rendered.jsonl"
        self.engine = engine

    def half(self, half: str, *, terraform: Path | None = None) -> float:
        """Run `up` or `down` of the life; seconds."""
        return self.zave(self.life.up if half == "up" else self.life.down, terraform=terraform)

    def zave(self, command: Sequence[str], *, terraform: Path | None = None) -> float:
        """Run zave; seconds. With a `terraform` of its own it also lists what it renders."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "ZAVE_STATE_DIR": str(self.state)}
        program: list[str | Path] = [ZAVE]
        if terraform is not None:
            environ |= {"ZAVE_TERRAFORM": str(terraform), "RENDERED": str(self.rendered)}
            program = [sys.executable, "-c", RECORDER]
        began = time.perf_counter()
        subprocess.run(
            [*program, *command, "--rehearse", "--yes", "-o", "json"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environ,
        )
        return time.perf_counter() - began

    def record(self) -> Recording:
        """Live once with a Terraform that writes down how it is called."""
        self.begin()
        calls, environ = self.folder / "calls", self.folder / "environ"
        spy = self.folder / "terraform"
        spy.write_text(
            "#!/bin/sh\n"
            f"printf '%s\\0' \"$@\" >>{shlex.quote(str(calls))}\necho >>{shlex.quote(str(calls))}\n"
            f"env -0 >{shlex.quote(str(environ))}\n"
            f'exec {shlex.join(self.engine.argv)} "$@"\n'
        )
        spy.chmod(0o755)
        recorded: list[list[list[str]]] = []
        root = self.state / "rehearsal" / "instances" / self.life.instance / "terraform"
        for command in ("up", "down"):
            calls.unlink(missing_ok=True)
            self.half(command, terraform=spy)
            if command == "up":
                shutil.copytree(root, self.prepared, ignore=BY_TERRAFORM)
                self._point_at(self.folder / "world")
                self._plan_rendering()
            lines = calls.read_text().splitlines()
            recorded.append([line.rstrip("\0").split("\0") for line in lines])
        told = dict(part.split("=", 1) for part in environ.read_text().split("\0") if "=" in part)
        up, down = ([call for call in calls if call[0] != "version"] for calls in recorded)
        return Recording(up, down, told, root)

    def _plan_rendering(self) -> None:
        """Take what zave rendered out of the prepared root, and write down how to render it again."""
        variables_file = self.prepared / VARIABLES
        texts: dict[str, int] = {}
        templates: list[dict[str, Any]] = []
        variables = variables_file.read_text()
        for line in self.rendered.read_text().splitlines():
            document = json.loads(line)
            place = self.prepared / document["name"].removesuffix(".j2")
            in_root = place.is_file() and place.read_text() == document["result"]
            if not in_root and json.dumps(document["result"])[1:-1] not in variables:
                continue  # of the GitOps tree, which the script has none of
            if document["result"] in texts:
                continue
            texts[document["result"]] = len(templates)
            templates.append(
                {
                    **{name: document[name] for name in ("folder", "name", "values")},
                    "place": place.name if in_root else None,
                }
            )
            if in_root:
                place.unlink()
        plan = {
            "templates": templates,
            "variables": _pointing(json.loads(variables), texts),
            "variables_file": VARIABLES,
        }
        variables_file.unlink()
        (self.folder / "rendering.json").write_text(json.dumps(plan))

    def _point_at(self, world: Path) -> None:
        """Have the prepared root keep its state in the script's world, where zave has it in its own."""
        for path in self.prepared.glob("*_override.tf"):
            path.write_text(path.read_text().replace(str(self.state / "rehearsal"), str(world)))

    def script(self, recording: Recording) -> tuple[Callable[[], float], Callable[[], float]]:
        """The shell script's two halves, ready to be timed."""
        root, world = self.folder / "root", self.folder / "world"
        mirror = install_mirror(self.folder / "mirror")
        environ = recording.environ | {
            "TF_CLI_CONFIG_FILE": str(mirror),
            "ZAVE_WORLD": str(world / "world.db"),
        }
        halves: list[Path] = []
        for name, calls in (("up", recording.up), ("down", recording.down)):
            lines = ["#!/bin/sh", "set -e"]
            if name == "up":
                lines += [f"rm -rf {root} {world}", f"cp -a {self.prepared} {root}"]
                begun = self.begun / "rehearsal"
                lines.append(
                    f"mkdir -m 0700 {world}"
                    if self.life.before is None
                    else f"cp -a {begun} {world} && mkdir -p {world}/bucket/instances/{self.life.instance}"
                )
            if name == "up":
                rendering = self.folder / "rendering.json"
                lines.append(shlex.join([sys.executable, str(RENDER), str(rendering), str(root)]))
            lines.append(f"cd {root}")
            for call in calls:
                arguments = [argument.replace(str(recording.root), str(root)) for argument in call]
                # 2: a plan with changes, as -detailed-exitcode tells it
                lines.append(
                    f"{shlex.join([*self.engine.argv, *arguments])} >>log 2>>errors || test $? -eq 2"
                )
            half = self.folder / f"{name}.sh"
            half.write_text("\n".join(lines) + "\n")
            half.chmod(0o755)
            halves.append(half)

        def timed(half: Path) -> Callable[[], float]:
            def run() -> float:
                began = time.perf_counter()
                subprocess.run([half], check=True, env=environ)
                return time.perf_counter() - began

            return run

        return timed(halves[0]), timed(halves[1])

    def begin(self) -> None:
        """Make what is made once: the mirror, the engine's version, the account's standing parts."""
        if self.life.before is not None:
            self.zave(self.life.before)
        else:
            self.half("up")
            self.half("down")
            rehearsal = self.state / "rehearsal"
            for path in rehearsal.iterdir():
                if path.is_dir() and path.name in {"instances", "backups", "damaged"}:
                    shutil.rmtree(path)
                elif path.name.startswith(("state.", "world.db")):
                    path.unlink()
        shutil.copytree(self.state, self.begun, symlinks=True)

    def forget(self) -> None:
        """Go back to what is made once."""
        shutil.rmtree(self.state)
        shutil.copytree(self.begun, self.state, symlinks=True)

    def measure(self, runs: int) -> dict[str, list[float]]:
        """Seconds of each way, by turns."""
        script_up, script_down = self.script(self.record())
        seconds: dict[str, list[float]] = {}
        for turn in range(runs + 1):
            self.forget()
            life = {
                "up": self.half("up"),
                "up with nothing to do": self.half("up"),
                "down": self.half("down"),
                "script: up": script_up(),
                "script: down": script_down(),
            }
            if turn:  # the first turn warms the disk's cache up
                for name, each in life.items():
                    seconds.setdefault(name, []).append(each)
        return seconds


def _pointing(value: Any, texts: dict[str, int]) -> Any:
    """`value` with a pointer in place of each text that is rendered."""
    if isinstance(value, dict):
        return {name: _pointing(each, texts) for name, each in value.items()}
    if isinstance(value, list):
        return [_pointing(each, texts) for each in value]
    return {"$rendered": texts[value]} if isinstance(value, str) and value in texts else value


def report_on(life: Life, seconds: dict[str, list[float]]) -> dict[str, object]:
    """Print what was measured of a life, and return it for the file."""
    median = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {half: median[half] / median[f"script: {half}"] for half in ("up", "down")}
    print(f"{life.instance}:")
    for name, value in median.items():
        bound = f"   (bound {life.bounds[name]} s)" if name in life.bounds else ""
        print(f"  {name:24} {value:6.2f} s{bound}")
    for half, ratio in ratios.items():
        print(f"  {'zave / script: ' + half:24} {ratio:6.2f}     (bound {RATIO_BOUND})")
    return {
        "seconds": {name: [round(value, 3) for value in each] for name, each in seconds.items()},
        "median": {name: round(value, 3) for name, value in median.items()},
        "ratios": {half: round(ratio, 3) for half, ratio in ratios.items()},
    }


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    folder = CACHE / "lifecycle"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    engine = choose_engine(runner=ProcessRunner(), environment=os.environ, cache=folder / "engines.json")
    print(f"{engine.title}, median of {runs} turns")
    report: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": engine.title,
    }
    for life in LIVES:
        (folder / life.instance).mkdir()
        bench = Bench(folder / life.instance, life, engine)
        report[life.instance] = report_on(life, bench.measure(runs))
    (CACHE / "lifecycle.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
