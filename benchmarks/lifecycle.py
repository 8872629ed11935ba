#!/usr/bin/env python3
"""What zave costs on top of Terraform: a rehearsed life beside a shell script that runs the same commands.

One life is recorded first: each Terraform command with its arguments and environment, and the root as
zave rendered it. The script copies that root (it stands for the rendering) and runs the recorded commands
in the same order, with the same provider mirror, against an empty world. Then zave and the script take
turns. Prints a table, writes .cache/bench/lifecycle.json.
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
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zave.process import ProcessRunner
from zave.rehearsal.mirror import install_mirror
from zave.tools.terraform_engine import choose_engine

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
ZAVE = Path(sys.executable).with_name("zave")
# the bounds of issue 3, item 2
RATIO_BOUND, SECONDS_BOUND, NOTHING_BOUND = 1.15, 4.0, 1.0
# made by Terraform, not rendered
BY_TERRAFORM = shutil.ignore_patterns(
    ".terraform", ".terraform.lock.hcl", "terraform.tfstate*", "*.tfplan", ".zave*", "errored.tfstate"
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

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.prepared = folder / "prepared"
        self.engine = choose_engine(
            runner=ProcessRunner(), environment=os.environ, cache=folder / "engines.json"
        )

    def zave(self, command: str, *, terraform: Path | None = None) -> float:
        """Run zave; seconds."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "ZAVE_STATE_DIR": str(self.state)}
        if terraform is not None:
            environ["ZAVE_TERRAFORM"] = str(terraform)
        began = time.perf_counter()
        subprocess.run(
            [ZAVE, command, "homelab", "--rehearse", "--yes", "-o", "json"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=environ,
        )
        return time.perf_counter() - began

    def record(self) -> Recording:
        """Live once with a Terraform that writes down how it is called."""
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.prepared, ignore_errors=True)
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
        root = self.state / "rehearsal" / "instances" / "homelab" / "terraform"
        for command in ("up", "down"):
            calls.unlink(missing_ok=True)
            self.zave(command, terraform=spy)
            if command == "up":
                shutil.copytree(root, self.prepared, ignore=BY_TERRAFORM)
            lines = calls.read_text().splitlines()
            recorded.append([line.rstrip("\0").split("\0") for line in lines])
        told = dict(part.split("=", 1) for part in environ.read_text().split("\0") if "=" in part)
        up, down = ([call for call in calls if call[0] != "version"] for calls in recorded)
        return Recording(up, down, told, root)

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
                lines += [
                    f"rm -rf {root} {world}",
                    f"mkdir -m 0700 {world}",
                    f"cp -a {self.prepared} {root}",
                ]
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

    def forget(self) -> None:
        """Empty the record and the world; keep what one machine makes once: mirror and engine's version."""
        rehearsal = self.state / "rehearsal"
        for path in rehearsal.iterdir():
            if path.is_dir() and path.name in {"instances", "backups", "damaged"}:
                shutil.rmtree(path)
            elif path.name.startswith(("state.", "world.db")):
                path.unlink()


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
    bench = Bench(folder)
    script_up, script_down = bench.script(bench.record())
    shutil.rmtree(bench.state)
    seconds: dict[str, list[float]] = {"up from nothing at all": [bench.zave("up")]}
    bench.zave("down")
    for turn in range(runs + 1):
        bench.forget()
        life = {
            "up": bench.zave("up"),
            "up with nothing to do": bench.zave("up"),
            "down": bench.zave("down"),
            "script: up": script_up(),
            "script: down": script_down(),
        }
        if turn:  # the first turn warms the disk's cache up
            for name, each in life.items():
                seconds.setdefault(name, []).append(each)
    median = {name: statistics.median(each) for name, each in seconds.items()}
    ratios = {half: median[half] / median[f"script: {half}"] for half in ("up", "down")}
    bounds = {"up": SECONDS_BOUND, "down": SECONDS_BOUND, "up with nothing to do": NOTHING_BOUND}
    print(f"{bench.engine.title}, median of {runs} turns")
    for name, value in median.items():
        bound = f"   (bound {bounds[name]} s)" if name in bounds else ""
        print(f"{name:24} {value:6.2f} s{bound}")
    for half, ratio in ratios.items():
        print(f"{'zave / script: ' + half:24} {ratio:6.2f}     (bound {RATIO_BOUND})")
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "engine": bench.engine.title,
        "seconds": {name: [round(value, 3) for value in each] for name, each in seconds.items()},
        "median": {name: round(value, 3) for name, value in median.items()},
        "ratios": {half: round(ratio, 3) for half, ratio in ratios.items()},
    }
    (CACHE / "lifecycle.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
