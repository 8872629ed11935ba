"""The systemd user timer: units that systemd reads as they were meant, nobody's else, once."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from zave.errors import UsageError
from zave.lifecycle.timer import Timer, quoted
from zave.process import ProcessRunner
from zave.schemas import load_schema

COMMAND = ["/opt/za ve/bin/python", "-m", "zave", "reap", "--project", '/home/me/100% "mine" $HOME']


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A PATH of its own: without systemctl until a test puts one there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def environ(tmp_path: Path, bin_folder: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "PATH": str(bin_folder),
        "ZAVE_STATE_DIR": "/var/lib/za ve",
        "AWS_PROFILE": "demo",
        "AWS_SECRET_ACCESS_KEY": "never-in-a-unit",
    }


@pytest.fixture
def timer(environ: dict[str, str]) -> Timer:
    return Timer.locate(COMMAND, runner=ProcessRunner(), environ=environ)


def systemctl(folder: Path, *, status: int = 0) -> Path:
    """A stand-in that notes how it was called."""
    calls = folder / "calls"
    program = folder / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexit {status}\n')
    program.chmod(0o755)
    return calls


def valid(document: dict[str, Any]) -> dict[str, Any]:
    Draft202012Validator(load_schema("timer")).validate(document)
    return document


def test_it_is_written_enabled_and_removed_again(timer: Timer, bin_folder: Path) -> None:
    calls = systemctl(bin_folder)
    made = valid(timer.install())
    assert (made["action"], made["enabled"], made["by_hand"]) == ("installed", True, None)
    assert calls.read_text().splitlines() == ["--user daemon-reload", "--user enable --now zave-reap.timer"]
    for name, text in made["units"].items():
        file = timer.folder / name
        assert file.read_text() == text
        assert file.stat().st_mode & 0o777 == 0o600

    assert valid(timer.install())["action"] == "unchanged"
    calls.unlink()
    assert valid(timer.remove())["action"] == "removed"
    assert calls.read_text().splitlines() == ["--user disable --now zave-reap.timer", "--user daemon-reload"]
    assert list(timer.folder.iterdir()) == []
    assert valid(timer.remove())["action"] == "absent"


@pytest.mark.parametrize("there", [True, False])
def test_where_systemd_does_not_answer_it_says_what_to_do(
    there: bool, timer: Timer, bin_folder: Path
) -> None:
    if there:
        systemctl(bin_folder, status=1)
    made = valid(timer.install())
    assert made["enabled"] is False
    assert made["by_hand"] == "systemctl --user daemon-reload; systemctl --user enable --now zave-reap.timer"
    assert (
        valid(timer.remove())["by_hand"]
        == "systemctl --user stop zave-reap.timer; systemctl --user daemon-reload"
    )


def test_it_makes_up_for_what_was_slept_through_and_knows_where_the_records_are(timer: Timer) -> None:
    units = timer.units()
    assert "Persistent=true\n" in units["zave-reap.timer"]
    service = units["zave-reap.service"]
    assert 'Environment="ZAVE_STATE_DIR=/var/lib/za ve"\n' in service
    assert 'Environment="AWS_PROFILE=demo"\n' in service
    assert "never-in-a-unit" not in service


def test_units_of_somebody_else_are_left_alone(timer: Timer) -> None:
    timer.folder.mkdir(parents=True)
    own = timer.folder / "zave-reap.service"
    own.write_text("[Service]\nExecStart=/bin/true\n")
    for attempt in (timer.install, timer.remove):
        with pytest.raises(UsageError, match="is not zave's"):
            attempt()
    assert own.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert not (timer.folder / "zave-reap.timer").exists()


def test_a_relative_configuration_folder_is_ignored(environ: dict[str, str], tmp_path: Path) -> None:
    environ["XDG_CONFIG_HOME"] = "not/absolute"
    timer = Timer.locate(COMMAND, runner=ProcessRunner(), environ=environ)
    assert timer.folder == tmp_path / ".config" / "systemd" / "user"


@pytest.mark.parametrize("word", ["a\nExecStart=/bin/evil", "a\x1b[2J"])
def test_a_word_that_would_be_another_line_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        quoted(word)


@pytest.mark.parametrize("letter", ['"', "'", "\\"])
def test_a_program_that_systemd_could_not_start_is_refused(
    letter: str, environ: dict[str, str], tmp_path: Path
) -> None:
    timer = Timer.locate([f"/opt/za{letter}ve/python"], runner=ProcessRunner(), environ=environ)
    with pytest.raises(UsageError, match="systemd cannot start"):
        timer.install()
    assert not timer.folder.exists()


def test_systemd_accepts_the_units(timer: Timer, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    python = tmp_path / "za ve $x 50%" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    made = Timer.locate([str(python), *COMMAND[1:]], runner=ProcessRunner(), environ=dict(timer.environ))
    made.install()
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    units = [str(made.folder / name) for name in made.units()]
    done = subprocess.run(
        [program, "verify", "--user", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
        env={**timer.environ, "XDG_RUNTIME_DIR": str(runtime)},
    )
    said = "\n".join(line for line in done.stderr.splitlines() if "zave-reap" in line)
    assert said == ""
    assert done.returncode == 0, done.stderr
