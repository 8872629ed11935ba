"""`make demo`, as a user sees it."""

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).with_name("demo.sh")


def test_the_demo_ends_with_two_receipts_of_zero_leaks(tmp_path: Path) -> None:
    state = tmp_path / "state"
    environ = os.environ | {"ZAVE": str(Path(sys.executable).with_name("zave")), "ZAVE_STATE_DIR": str(state)}
    ended = subprocess.run(
        [DEMO],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    receipts = [line for line in ended.stdout.splitlines() if "zero leaks." in line]
    assert len(receipts) == 2
    assert receipts[-1] == ended.stdout.splitlines()[-1]
    assert "by the switch" in receipts[-1]
    # the fault was real: something failed, and was said, before it went on
    assert "error: " in ended.stderr
    assert (state / "rehearsal" / "state.db").stat().st_mode & 0o077 == 0


def test_the_demo_fails_when_an_exit_status_is_not_the_promised_one(tmp_path: Path) -> None:
    zave = tmp_path / "zave"
    zave.write_text("#!/bin/sh\nexit 0\n")
    zave.chmod(0o755)
    environ = os.environ | {"ZAVE": str(zave), "ZAVE_STATE_DIR": str(tmp_path / "state")}
    ended = subprocess.run([DEMO], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "exit status 0 instead of 1" in ended.stderr
