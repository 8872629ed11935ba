"""What every test needs: none of them may see the state, the settings or the Terraform of who runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

# ru_maxrss counts the process that was forked, so a large pytest would measure itself: this small one forks
_MEASURE = """
import json, os, resource, subprocess, sys
report, limit, *argv = sys.argv[1:]
child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
resource.prlimit(child.pid, resource.RLIMIT_CPU, (int(limit), int(limit)))
_, status, usage = os.wait4(child.pid, 0)
seconds = usage.ru_utime + usage.ru_stime
with open(report, "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss, seconds], file)
"""


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Points zave at an empty home, and drops whatever the caller's shell says about zave and Terraform."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("ZAVE_", "TF_", "AWS_", "XDG_")) and not name.startswith("ZAVE_DRILL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ZAVE_STATE_DIR", str(home / "state"))
    return home


@dataclass(frozen=True)
class Measured:
    """How a program ended: its exit code, largest memory in KiB, seconds of processor time."""

    exit_code: int
    memory: int
    seconds: float


Measure = Callable[..., Measured]


@pytest.fixture
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """Runs a program and measures it, its children included; at most `limit` seconds of processor time."""

    def run(
        *argv: str | Path,
        stdout: IO[bytes],
        stderr: IO[bytes] | int,
        env: Mapping[str, str] | None = None,
        limit: int = 120,
    ) -> Measured:
        report = tmp_path_factory.mktemp("measured") / "report"
        words = [sys.executable, "-I", "-c", _MEASURE, report, str(limit), *argv]
        subprocess.run(words, stdout=stdout, stderr=stderr, env=env, check=True)
        return Measured(*json.loads(report.read_text()))

    return run
