"""What happens during a run, as typed events.

Lower layers emit events and never print. Sinks in `zave/ui` show them (live screen, plain lines,
JSON lines) or keep them (one JSON-lines file a run). Times come from the world's clock: virtual in
a rehearsal, real otherwise; `Stamped` carries both.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from zave.clock import Clock, SystemClock, rfc3339

Level = Literal["info", "warning", "error"]
StepOutcome = Literal["done", "failed", "skipped", "interrupted"]
ResourceAction = Literal["create", "update", "replace", "delete", "read", "import", "apply"]
ResourceState = Literal["started", "progress", "done", "failed"]


@dataclass(frozen=True)
class Event:
    """Base of all events; `kind` is the value of `event` in JSON."""

    kind: ClassVar[str] = "event"


@dataclass(frozen=True)
class PlannedStep:
    """One line of a run's plan: `action` is run, rerun or skip, `reason` says why."""

    step: str
    action: str
    reason: str
    estimate_seconds: float | None = None


@dataclass(frozen=True)
class RunStarted(Event):
    """A run begins; `steps` in the order in which they may start."""

    kind: ClassVar[str] = "run.started"
    run_id: str
    command: str
    instance: str
    environment: str
    rehearsal: bool
    steps: tuple[PlannedStep, ...] = ()


@dataclass(frozen=True)
class StepStarted(Event):
    """A step starts. `log` is the path of its log file; `estimate_seconds` comes from earlier runs."""

    kind: ClassVar[str] = "step.started"
    step: str
    action: str
    log: str
    estimate_seconds: float | None = None


@dataclass(frozen=True)
class StepProgress(Event):
    """A step says what it does now; `fraction` is between 0 and 1 where it is known."""

    kind: ClassVar[str] = "step.progress"
    step: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True)
class ResourceChanged(Event):
    """Terraform, Flux or the sweep works on one resource; `seconds` is real time so far."""

    kind: ClassVar[str] = "resource"
    step: str
    address: str
    type: str
    action: ResourceAction
    state: ResourceState
    seconds: float = 0.0
    id: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class StepFinished(Event):
    """A step ended; `seconds` real, `virtual_seconds` on the world's clock."""

    kind: ClassVar[str] = "step.finished"
    step: str
    outcome: StepOutcome
    seconds: float
    virtual_seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Notice(Event):
    """Something worth reading that is neither progress nor a result."""

    kind: ClassVar[str] = "notice"
    level: Level
    text: str
    resolution: str | None = None
    step: str | None = None


@dataclass(frozen=True)
class PlanShown(Event):
    """The plan of a run, as a `zave/plan/v1` document."""

    kind: ClassVar[str] = "plan"
    plan: dict[str, Any]


@dataclass(frozen=True)
class ReceiptIssued(Event):
    """The receipt of a `down`, as a `zave/receipt/v1` document."""

    kind: ClassVar[str] = "receipt"
    receipt: dict[str, Any]


@dataclass(frozen=True)
class RunFinished(Event):
    """A run ended; always the last event. `error` is `ZaveError.to_document()`."""

    kind: ClassVar[str] = "run.finished"
    run_id: str
    command: str
    instance: str
    outcome: Literal["done", "failed", "interrupted", "declined"]
    exit_code: int
    seconds: float
    virtual_seconds: float
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class Stamped:
    """An event with its moment: `at` on the world's clock, `real_at` on the machine's."""

    event: Event
    at: datetime
    real_at: datetime

    def to_document(self) -> dict[str, Any]:
        """One line of JSON output or of a run's event file."""
        body = dataclasses.asdict(self.event)
        return {
            "schema": "zave/event/v1",
            "event": self.event.kind,
            "at": rfc3339(self.at),
            "real_at": rfc3339(self.real_at),
            **body,
        }


class Sink(Protocol):
    """Shows or keeps events. `emit` may be called from several threads, one at a time."""

    def emit(self, stamped: Stamped) -> None:
        """Take one event. Must not raise for hostile text in it."""
        ...

    def close(self) -> None:
        """Flush and give the terminal back. Called once, also after a failure."""
        ...


Emit = Callable[[Event], None]


@dataclass
class Bus:
    """Stamps events and hands them to every sink, one at a time."""

    clock: Clock
    sinks: list[Sink] = field(default_factory=list)

    def __post_init__(self) -> None:
        # here: threading costs nothing at import, but a dataclass field of it would not pickle
        import threading

        self._lock = threading.Lock()
        self._real = SystemClock()

    def emit(self, event: Event) -> None:
        """Stamp `event` and pass it on."""
        with self._lock:
            stamped = Stamped(event, at=self.clock.now(), real_at=self._real.now())
            for sink in self.sinks:
                sink.emit(stamped)

    def close(self) -> None:
        """Close every sink, the last added first."""
        for sink in reversed(self.sinks):
            sink.close()
        self.sinks.clear()
