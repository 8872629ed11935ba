import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zave.cli.app import main


@dataclass(frozen=True)
class Result:
    """What one call of the command line came to."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """stdout as the one JSON document that it must be."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        """stdout as a document a line."""
        return [json.loads(line) for line in self.out.splitlines()]


Zave = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory, for this process and its children; not made yet."""
    monkeypatch.setenv("ZAVE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def zave(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Zave:
    """Run `zave` in this process, with its records in `state`."""
    assert not state.is_relative_to(Path.home())
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Result:
        capsys.readouterr()
        status = main(list(words))
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run
