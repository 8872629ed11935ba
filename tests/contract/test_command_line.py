"""What scripts and people rely on: verbs, exit codes, help."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zave import errors
from zave.cli.app import main
from zave.cli.lazy import VERBS
from zave.errors import ExitCode, ZaveError

VERB_NAMES = [
    "init",
    "doctor",
    "plan",
    "up",
    "demo",
    "status",
    "extend",
    "down",
    "reap",
    "adopt",
    "sweep",
    "drift",
    "parity",
    "cost",
    "savings",
    "prices",
    "account",
    "history",
    "logs",
    "secrets",
    "config",
    "kubeconfig",
    "push",
    "ssh",
    "console",
    "snapshot",
    "restore",
    "exec",
    "build-image",
    "schema",
    "rehearse",
]
SUB_COMMANDS = ["advance", "speed", "lose", "log", "faults", "reset"]
GLOBAL_OPTIONS = [
    "--rehearse",
    "--project",
    "--output",
    "--json",
    "--quiet",
    "--verbose",
    "--no-input",
    "--no-color",
]
Help = Callable[..., str]


@pytest.fixture
def help_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Help]:
    """The help of a command, which must exit 0 and say nothing on stderr."""
    monkeypatch.setenv("ZAVE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def show(*words: str) -> str:
        assert main([*words, "--help"]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    yield show
    # help leaves nothing behind
    assert list(tmp_path.iterdir()) == []


def test_the_exit_codes_are_frozen() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "DIFFERENCES": 3,
        "LOCKED": 4,
        "PRECONDITION": 5,
        "LEAK": 6,
        "DECLINED": 7,
        "INTERRUPTED": 130,
    }


def test_each_kind_of_error_has_its_code() -> None:
    kinds = {
        name: int(kind.exit_code)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ZaveError)
    }
    assert kinds == {
        "ZaveError": 1,
        "StepFailedError": 1,
        "NoClusterError": 1,
        "ToolFailedError": 1,
        "UnreachableError": 1,
        "StuckError": 1,
        "UsageError": 2,
        "SpecError": 2,
        "NothingStandsError": 2,
        "DifferencesError": 3,
        "LockedError": 4,
        "PreconditionError": 5,
        "RefusedChangeError": 5,
        "NoBucketError": 5,
        "ToolMissingError": 5,
        "StateError": 5,
        "TerraformStateError": 5,
        "LeakError": 6,
        "DeclinedError": 7,
        "InterruptedRunError": 130,
    }


def test_the_verbs_are_those_of_the_contract() -> None:
    assert list(VERBS) == VERB_NAMES


@pytest.mark.parametrize("verb", VERB_NAMES)
def test_each_verb_teaches_by_example_in_80_columns(help_of: Help, verb: str) -> None:
    text = help_of(verb)
    examples = [line for line in text.partition("Examples:")[2].splitlines() if "zave " in line]
    assert 2 <= len(examples) <= 4
    assert any(f"zave {verb}" in line for line in examples)
    assert max(map(len, text.splitlines())) <= 80
    for option in GLOBAL_OPTIONS:
        assert option in text


@pytest.mark.parametrize("name", SUB_COMMANDS)
def test_each_sub_command_teaches_by_example(help_of: Help, name: str) -> None:
    text = help_of("rehearse", name)
    assert f"zave rehearse {name}" in text.partition("Examples:")[2]
    assert max(map(len, text.splitlines())) <= 80


def test_the_root_fits_80_columns_and_tells_the_exit_codes(help_of: Help) -> None:
    text = help_of()
    assert max(map(len, text.splitlines())) <= 80
    assert "130 interrupted" in text


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["up", "homelab", "--yes"], 5),
        (["plan", "homelab"], 5),
        (["up", "no-such-environment", "--rehearse"], 2),
        (["up", "../homelab", "--rehearse"], 2),
        (["up", "homelab", "--rehearse"], 2),
        (["down", "--rehearse"], 2),
        (["down", "homelab", "--rehearse"], 2),
        (["up", "homelab", "--fault", "crash provider"], 2),
        (["up", "homelab", "--rehearse", "--yes", "--fault", "explode"], 2),
        (["up", "homelab", "--rehearse", "--yes", "--project", "nowhere"], 2),
        (["kubeconfig", "homelab", "--merge"], 2),
        (["kubeconfig", "homelab", "--use"], 2),
        (["ssh", "homelab", "worker-1"], 2),
        (["console", "homelab", "worker-1", "--follow", "--json"], 2),
        (["snapshot", "homelab"], 2),
        (["restore", "homelab", "no-such-file"], 2),
        (["logs", "homelab", "--node", "worker-1", "--raw"], 2),
        (["drift", "homelab", "--rehearse"], 2),
        (["status", "--rehearse"], 0),
    ],
)
def test_each_refusal_has_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    status: int,
) -> None:
    monkeypatch.setenv("ZAVE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    assert main(words) == status
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    told = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(told) == (status != 0)
