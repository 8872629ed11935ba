import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zave.cli import boundary
from zave.cli.boundary import explain, guarded
from zave.cli.options import Given
from zave.errors import ExitCode, LeakError, PreconditionError, ZaveError

Zave = Callable[..., Any]


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> object:
        raise error

    return run


def test_an_error_tells_what_where_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    error = PreconditionError(
        "no packer", details="looked\neverywhere", where="PATH", resolution="install it"
    )
    assert guarded(raising(error), line=["up"], given=Given()) == 5
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "error: no packer",
        "  where: PATH",
        "  looked",
        "  everywhere",
        "  next: install it",
    ]
    assert captured.out == ""


def test_what_a_tool_said_can_neither_act_on_the_terminal_nor_flood_it() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2Jred\n" + "line\n" * 1000 + "x" * 100_000
    lines = explain(ZaveError("broken \x1b[31m", details=hostile))
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 1 + boundary.MAX_DETAIL_LINES + 1
    assert lines[-1] == "  ... and 972 more lines"
    assert max(map(len, lines)) < 600


def test_programs_get_the_error_as_one_json_line(zave: Zave) -> None:
    for words in (["--output=json", "statsu"], ["-o", "json", "statsu"], ["statsu", "--json"]):
        result = zave(*words)
        assert result.status == 2
        assert result.document["event"] == "error"
        assert result.document["brief"] == "no such command 'statsu'"
        assert "error: no such command" in result.err


def test_output_json_after_a_double_dash_belongs_to_somebody_else(zave: Zave) -> None:
    assert zave("statsu", "--", "--json").out == ""


def test_the_variable_chooses_json_even_for_a_line_that_cannot_be_parsed(
    zave: Zave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAVE_OUTPUT", "json")
    assert zave("--bogus").document["exit_code"] == 2


def test_a_document_on_stdout_is_not_followed_by_a_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> object:
        sys.stdout.write('{"leaks": [1]}\n')
        raise LeakError("one leak")

    assert guarded(run, line=["sweep", "--json"], given=Given()) == 6
    captured = capsys.readouterr()
    assert captured.out == '{"leaks": [1]}\n'
    assert "error: one leak" in captured.err


@pytest.mark.parametrize(
    ("words", "brief", "hint"),
    [
        (["statsu"], "no such command 'statsu'", "did you mean 'status'?"),
        (["--rehears", "status"], "no such option: --rehears", "did you mean --rehearse?"),
        (["status", "--wacth"], "no such option: --wacth", "did you mean --watch?"),
        (["exec"], "missing argument 'ENV'", "`zave exec --help`"),
        (["rehearse", "fautls"], "no such command 'fautls'", "did you mean 'faults'?"),
        (["history", "--limit", "0"], "invalid value", "`zave history --help`"),
        (["status", "-o", "yaml"], "'--output': 'yaml' is not one of 'text', 'json'", "--help"),
        (["demo", "gcp"], "invalid value for 'aws': 'gcp' is not one of 'aws'", "`zave demo --help`"),
        (["demo"], "missing argument 'aws': choose from aws", "`zave demo --help`"),
        (["--rehearse"], "missing command", "`zave --help`"),
    ],
)
def test_a_mistyped_line_exits_2_with_the_nearest_that_exists(
    zave: Zave, *, words: list[str], brief: str, hint: str
) -> None:
    result = zave(*words)
    assert result.status == 2
    assert brief in result.err.splitlines()[0]
    assert hint in result.err
    assert "Traceback" not in result.err


def test_a_bug_is_called_one_and_its_traceback_is_kept_privately(
    zave: Zave, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr("zave.cli.config.config_document", broken)
    result = zave("config")
    assert result.status == 1
    assert "error: this is a bug in zave" in result.err
    assert "RuntimeError: impossible" in result.err
    assert "Traceback" not in result.err
    (crash,) = (state / "crashes").iterdir()
    assert str(crash) in result.err
    assert stat.S_IMODE(crash.stat().st_mode) == 0o600
    assert stat.S_IMODE(crash.parent.stat().st_mode) == 0o700
    assert "Traceback" in crash.read_text()


def test_a_bug_shows_its_traceback_when_asked_to(
    zave: Zave, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr("zave.cli.config.config_document", broken)
    assert "Traceback" in zave("config", "-vv").err
    assert not state.exists()


def test_a_bug_is_told_even_when_nothing_can_be_written(zave: Zave, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("impossible")

    monkeypatch.setattr("zave.cli.config.config_document", broken)
    monkeypatch.setenv("ZAVE_STATE_DIR", "/dev/null/nowhere")
    result = zave("config")
    assert result.status == 1
    assert "RuntimeError: impossible" in result.err
    assert "Traceback" in result.err


@pytest.mark.parametrize(
    ("error", "status"),
    [(KeyboardInterrupt(), ExitCode.INTERRUPTED), (BrokenPipeError(), ExitCode.FAILED)],
)
def test_interruptions_and_closed_pipes_are_quiet(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int
) -> None:
    assert guarded(raising(error), line=[], given=Given()) == status
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [("schema",), ("schema", "status"), ("schema", "-o", "json")])
def test_an_output_that_takes_nothing_is_an_error_and_no_bug(words: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "zave", *words],
            env={"ZAVE_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "error: the output cannot be written: No space left on device"
    assert "bug" not in ended.stderr
    assert "Traceback" not in ended.stderr
