"""A tool that floods and attacks: zave stays small, the screen clean, the log as the tool wrote it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rehearsal.lab import Lab

    Run = Callable[..., tuple[int, int, bytes]]

MEMORY = 200 * 1024  # KiB (issue 3, item 10)
TITLE = b"\x1b]0;owned\x07"  # sets the terminal's title
CLIPBOARD = b"\x1b]52;c;b3duZWQ=\x07"  # writes the clipboard
ATTACKS = TITLE + CLIPBOARD + b"\x1b[2J\x1b[?1049h[/red][bold]\xff\xfe\xc3\x28\x9b31m\x00\x08\r"
ZAVE = Path(sys.executable).with_name("zave")


def _terraform(folder: Path, *, flood: str) -> Path:
    """A program that answers `version` and says hostile things to everything else, then fails."""
    attacks = folder / "attacks"
    attacks.write_bytes(ATTACKS + b"\n")
    program = folder / "terraform"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then\n'
        """  echo '{"terraform_version": "1.11.4", "platform": "linux_amd64"}'\n"""
        "  exit 0\n"
        "fi\n"
        f"cat '{attacks}'\n{flood}\ncat '{attacks}'\ncat '{attacks}' >&2\n"
        "echo the-end\n"
        "exit 1\n"
    )
    program.chmod(0o755)
    return program


def _lab_with(lab: Lab, folder: Path, *, flood: str = "") -> Lab:
    return replace(lab, environ={"ZAVE_TERRAFORM": str(_terraform(folder, flood=flood))})


@pytest.fixture
def run(measure: Any, tmp_path: Path) -> Run:
    """Runs zave; (exit code, largest memory in KiB of it and its children, all that it printed)."""

    def measured(lab: Lab, *arguments: str) -> tuple[int, int, bytes]:
        output = tmp_path / "output"
        with output.open("wb") as file:
            ended = measure(ZAVE, *arguments, stdout=file, stderr=subprocess.STDOUT, env=lab.environment())
        return ended.exit_code, ended.memory, output.read_bytes()

    return measured


def _assert_harmless(printed: bytes) -> None:
    text = printed.decode("utf-8")  # raises for anything that is not
    bad = {character for character in text if not character.isprintable() and character not in "\n\t"}
    assert not bad, bad
    assert "Traceback" not in text


def _log_of(lab: Lab) -> Path:
    """The log file in which the tool's output ended."""
    logs = list(lab.state.glob("rehearsal/instances/homelab/logs/*/*.log"))
    return max(logs, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("output", ["text", "json"])
def test_escape_sequences_and_broken_text_never_reach_the_screen(
    output: str, lab: Lab, tmp_path: Path, run: Run
) -> None:
    hostile = _lab_with(lab, tmp_path)
    code, _, printed = run(hostile, "up", "homelab", "--rehearse", "--yes", "-o", output, "--no-color")
    assert code == 1, printed
    _assert_harmless(printed)
    # the log is evidence: byte by byte what the tool said
    assert ATTACKS in _log_of(lab).read_bytes()

    code, _, printed = run(hostile, "logs", "homelab", "--rehearse", "--no-color")
    assert code == 0, printed
    _assert_harmless(printed)
    assert b"the-end" in printed


def test_a_terminal_is_left_as_it_was(lab: Lab, tmp_path: Path) -> None:
    hostile = _lab_with(lab, tmp_path)
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [ZAVE, "up", "homelab", "--rehearse", "--yes"],
        stdin=child,
        stdout=child,
        stderr=child,
        env=hostile.environment() | {"TERM": "xterm-256color"},
        cwd=tmp_path,
    )
    os.close(child)
    printed = bytearray()
    while True:
        try:
            chunk = os.read(parent, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not chunk:
            break
        printed += chunk
    os.close(parent)
    assert process.wait(timeout=60) == 1
    assert b"\x1b]" not in printed
    assert b"\x1b[2J" not in printed
    assert b"\x1b[?1049h" not in printed
    # the cursor, when it was hidden, is shown again at the end
    assert printed.rfind(b"\x1b[?25l") <= printed.rfind(b"\x1b[?25h")


@pytest.mark.parametrize(
    ("flood", "at_least"),
    [
        pytest.param(f"yes {'nothing ' * 30} | head -c 1000000000", 10**9, id="1-GB-log"),
        pytest.param("head -c 10000000 /dev/zero | tr '\\0' x; echo", 10**7, id="10-MB-line"),
    ],
)
def test_a_flood_does_not_fill_the_memory(
    flood: str, at_least: int, lab: Lab, tmp_path: Path, run: Run
) -> None:
    hostile = _lab_with(lab, tmp_path, flood=flood)
    code, memory, printed = run(
        hostile, "up", "homelab", "--rehearse", "--yes", "-o", "json", "--step-timeout", "120s"
    )
    try:
        assert code == 1, printed[-3000:]
        assert memory < MEMORY
        assert len(printed) < 1_000_000
        assert _log_of(lab).stat().st_size >= at_least
        code, memory, printed = run(hostile, "logs", "homelab", "--rehearse")
        assert code == 0, printed[-3000:]
        assert memory < MEMORY
        assert len(printed) < 1_000_000
        assert b"the-end" in printed
    finally:
        shutil.rmtree(lab.state)  # a gigabyte that nobody needs to keep for a failed test
