"""What a step is: one idempotent unit of work that can be looked at, done and undone."""

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from zave.errors import InterruptedRunError
from zave.events import Emit, StepProgress


@dataclass(frozen=True)
class Probe:
    """A quick live look at what a step made; `reason` says what is wrong when `ok` is false."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class StepRun:
    """What a step is given while it runs.

    `outputs` are those of the steps that it needs (and theirs), `log` is its own log file,
    `cut_off` tells that an earlier attempt at this step never came to its end, `force` that the user wants
    an undo to go on past what does not let go. `agreed` names what the user was told would be lost, and said
    yes to; None where nobody was asked.
    """

    run_id: str
    log: Path
    emit: Emit
    outputs: Mapping[str, Mapping[str, Any]]
    cut_off: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    step: str = ""
    force: bool = False
    agreed: frozenset[str] | None = None

    def say(self, text: str, fraction: float | None = None) -> None:
        """Tell people what happens now."""
        self.emit(StepProgress(self.step, text, fraction))

    def check(self) -> None:
        """Raise InterruptedRunError when the user asked zave to stop."""
        if self.stop.is_set():
            raise InterruptedRunError(
                f"stopped in step {self.step}",
                resolution="run the same command again: it goes on where it stopped",
            )


class Step(Protocol):
    """One idempotent unit of work."""

    @property
    def name(self) -> str:
        """The step's name in plans, records and logs."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the steps that must be done before this one."""
        ...

    def fingerprint(self) -> str:
        """A digest of everything that goes into the step: inputs, rendered files, tool versions."""
        ...

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Look whether what the step made, as recorded in `outputs`, still stands. Milliseconds."""
        ...

    def do(self, run: StepRun) -> dict[str, Any]:
        """Do the work; return outputs (JSON values, no secrets). Safe to repeat."""
        ...

    def undo(self, run: StepRun) -> None:
        """Take away what `do` made, even if it was cut off half-way. Safe to repeat."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A step that can say in words what its fingerprint only shows to be different."""

    def change(self, outputs: Mapping[str, Any]) -> str | None:
        """What changed since the step was done with `outputs`; None when it cannot say."""
        ...


@runtime_checkable
class Foreseeing(Protocol):
    """A step on whose outputs a plan of others depends, and which knows them before it runs."""

    def foreseen(self) -> dict[str, Any]:
        """The outputs that `do` would have now. What is not known yet equals nothing that ever was."""
        ...


@runtime_checkable
class Demanding(Protocol):
    """A step that refuses some changes to what it made, before anything is done about them."""

    def require(self) -> None:
        """Raise RefusedChangeError when what is wanted cannot be made of what stands. Milliseconds."""
        ...


def digest(value: Any) -> str:
    """The SHA-256 of `value` as canonical JSON: the building stone of fingerprints."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
