from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zave.clock import SystemClock
from zave.engine.execute import Execution
from zave.engine.step import Probe, StepRun
from zave.events import Event
from zave.state.directory import StateDirectory
from zave.state.store import StateStore


@dataclass
class Recorder:
    """A step that notes what was asked of it."""

    name: str
    needs: tuple[str, ...] = ()
    print_: str = "same"
    healthy: bool = True
    calls: list[str] = field(default_factory=list)
    error: BaseException | None = None
    during: Any = None
    outputs: dict[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        return self.print_

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        return Probe(self.healthy, "" if self.healthy else "the thing is gone")

    def do(self, run: StepRun) -> dict[str, Any]:
        self.calls.append("do")
        if self.during is not None:
            self.during(run)
        if self.error is not None:
            raise self.error
        return self.outputs

    def undo(self, run: StepRun) -> None:
        self.calls.append("undo")
        if self.during is not None:
            self.during(run)
        if self.error is not None:
            raise self.error


@pytest.fixture
def step() -> type[Recorder]:
    return Recorder


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    directory.prepare()
    return directory


@pytest.fixture
def store(directory: StateDirectory) -> Iterator[StateStore]:
    store = StateStore.open(directory, clock=SystemClock())
    yield store
    store.close()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def execution(directory: StateDirectory, store: StateStore, events: list[Event]) -> Execution:
    run = store.begin_run(instance="lab", command="up", arguments=["up", "lab"])
    return Execution(
        run_id=run.id,
        instance="lab",
        folder=directory.instance("lab"),
        store=store,
        clock=SystemClock(),
        emit=events.append,
    )
