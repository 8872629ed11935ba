#!/usr/bin/env python3
"""How quickly zave answers: its help beside kcli's, and its status with 1,000 instances beside its help.

kcli (PyPI `kcli`) goes into an environment of its own under .cache/bench; it builds libvirt-python, for
which root on a Debian machine gets the headers from apt. Prints a table, writes .cache/bench/startup.json.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

CACHE = Path(__file__).parents[1] / ".cache" / "bench"
ZAVE = Path(sys.executable).with_name("zave")
INSTANCES = 1000
# what libvirt-python needs to be built
HEADERS = ("gcc", "libvirt-dev", "pkg-config", "python3-dev")
# the bounds of issue 3, item 3
HELP_BOUND, STATUS_BOUND = 0.6, 2.0


@dataclass(frozen=True)
class Timing:
    """One command over all its runs, in milliseconds."""

    command: str
    runs: int
    median_ms: float
    fastest_ms: float


def measure(commands: Mapping[str, Sequence[str]], *, runs: int, environ: Mapping[str, str]) -> list[Timing]:
    """Run the commands in turns, so that a busy moment of the machine hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, argv in commands.items():
            began = time.perf_counter()
            subprocess.run(
                argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ
            )
            if turn:  # the first turn warms the disk's cache up
                seconds[name].append(time.perf_counter() - began)
    return [
        Timing(name, runs, round(statistics.median(each) * 1000, 1), round(min(each) * 1000, 1))
        for name, each in seconds.items()
    ]


def thousand_instances(folder: Path) -> None:
    """A rehearsal's record with 1,000 instances in it."""
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(folder), "HOME": str(folder)}, rehearsal=True)
    directory.prepare()
    store = StateStore.open(directory, clock=SystemClock())
    now = datetime.now(UTC)
    for number in range(INSTANCES):
        name = f"lab-{number:04d}"
        store.save_instance(
            InstanceRecord(
                name=name,
                environment="homelab",
                platform="libvirt-k3s",
                phase="ready",
                created_at=now,
                expires_at=None,
                spec={"text": "platform: libvirt-k3s\n"},
                outputs={"endpoint": "https://10.17.3.10:6443"},
            )
        )
        run = store.begin_run(instance=name, command="up", arguments=["up", name])
        store.finish_run(run.id, outcome="done", exit_code=0, seconds=2.5, virtual_seconds=400.0, error=None)
    store.close()


def install_kcli() -> Path | str:
    """The program of kcli, or why there is none."""
    home = CACHE / "kcli"
    program = home / "bin" / "kcli"
    if program.exists():
        return program
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "kcli"]
    if subprocess.run(install, capture_output=True, check=False).returncode == 0:
        return program
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"kcli needs {', '.join(HEADERS)} to be built; install these and run this again"
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    headers = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *HEADERS]
    for command in (["apt-get", "update", "--quiet"], headers, install):
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            return f"{command[0]} failed: {ended.stderr.strip()[-300:]}"
    # an installed kcli is compiled by pip; zave by `make setup`
    return program


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    CACHE.mkdir(parents=True, exist_ok=True)
    state = CACHE / "thousand"
    shutil.rmtree(state, ignore_errors=True)
    thousand_instances(state)
    kcli = install_kcli()
    commands: dict[str, list[str]] = {
        "zave --help": [str(ZAVE), "--help"],
        f"zave status, {INSTANCES} instances": [str(ZAVE), "status", "--rehearse"],
    }
    if isinstance(kcli, Path):
        commands["kcli --help"] = [str(kcli), "--help"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(CACHE), "ZAVE_STATE_DIR": str(state)}
    timings = measure(commands, runs=runs, environ=environ)
    for timing in timings:
        print(f"{timing.command:32} median {timing.median_ms:7.1f} ms   fastest {timing.fastest_ms:7.1f} ms")
    median = {timing.command: timing.median_ms for timing in timings}
    help_ms = median["zave --help"]
    ratios = {"status / help": (median[f"zave status, {INSTANCES} instances"] / help_ms, STATUS_BOUND)}
    if isinstance(kcli, Path):
        ratios["zave help / kcli help"] = (help_ms / median["kcli --help"], HELP_BOUND)
    else:
        print(f"kcli was not measured: {kcli}")
    for name, (ratio, bound) in ratios.items():
        print(f"{name:32} {ratio:.2f} (bound {bound})")
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "timings": [asdict(timing) for timing in timings],
        "ratios": {
            name: {"ratio": round(ratio, 3), "bound": bound} for name, (ratio, bound) in ratios.items()
        },
    }
    (CACHE / "startup.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
