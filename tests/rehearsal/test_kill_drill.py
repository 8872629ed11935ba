"""The kill drill in small; `make drill` runs all of it, CI sets ZAVE_DRILL_COUNT=15."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_kill_is_survived() -> None:
    count = os.environ.get("ZAVE_DRILL_COUNT", "6")
    seed = os.environ.get("ZAVE_DRILL_SEED")
    arguments = ["--count", count, *(["--seed", seed] if seed else [])]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.rehearsal.kill_drill", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
        cwd=ROOT,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-4000:]
    assert f"{count} kills survived" in ended.stdout
