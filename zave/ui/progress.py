"""What a run looks like at this moment: the live screen's model, free of any drawing."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from zave.events import (
    Event,
    PlannedStep,
    ResourceChanged,
    RunFinished,
    RunStarted,
    Stamped,
    StepFinished,
    StepProgress,
    StepStarted,
)

# an estimate is a memory, not a promise: the bar waits just below the end until the step is done
_NEARLY = 0.95


@dataclass
class ResourceView:
    """A resource that Terraform works on right now."""

    address: str
    action: str
    since: float


@dataclass
class StepView:
    """A step as the screen shows it. `state`: waiting, running, or how it ended."""

    name: str
    state: str = "waiting"
    since: float = 0.0
    seconds: float = 0.0
    estimate: float | None = None
    fraction: float | None = None
    text: str = ""
    finished_resources: int = 0
    resources: dict[str, ResourceView] = field(default_factory=dict)

    def elapsed(self, now: float) -> float:
        """Real seconds that the step has taken; `now` is a moment of the same monotonic clock."""
        return now - self.since if self.state == "running" else self.seconds

    def progress(self, now: float) -> float | None:
        """How far the step is, 0 to 1: what it says itself, else by the estimate; None: unknown."""
        if self.state == "done":
            return 1.0
        if self.state != "running":
            return None
        if self.fraction is not None:
            return min(max(self.fraction, 0.0), 1.0)
        if not self.estimate:
            return None
        return min(self.elapsed(now) / self.estimate, _NEARLY)


@dataclass
class RunView:
    """A run as the screen shows it, built from events."""

    monotonic: Callable[[], float] = time.monotonic
    command: str = ""
    instance: str = ""
    rehearsal: bool = False
    run_id: str = ""
    outcome: str = ""
    began: float = 0.0
    ended: float | None = None
    virtual_start: datetime | None = None
    virtual_now: datetime | None = None
    steps: dict[str, StepView] = field(default_factory=dict)

    def apply(self, stamped: Stamped) -> None:
        """Take one event in."""
        event = stamped.event
        self.virtual_now = stamped.at
        match event:
            case RunStarted():
                self._start(event, stamped.at)
            case RunFinished():
                self.outcome, self.ended = event.outcome, self.monotonic()
            case StepStarted() | StepProgress() | StepFinished() | ResourceChanged():
                self._step(event)

    def seconds(self, now: float) -> float:
        """Real seconds since the run began, standing still once it has ended."""
        return (self.ended if self.ended is not None else now) - self.began

    @property
    def virtual_seconds(self) -> float:
        """How far the world's clock has moved since the run began."""
        if self.virtual_start is None or self.virtual_now is None:
            return 0.0
        return (self.virtual_now - self.virtual_start).total_seconds()

    def _start(self, event: RunStarted, at: datetime) -> None:
        self.command, self.instance = event.command, event.instance
        self.rehearsal, self.run_id = event.rehearsal, event.run_id
        self.began, self.virtual_start = self.monotonic(), at
        self.steps = {planned.step: _planned(planned) for planned in event.steps}

    def _step(self, event: Event) -> None:
        name = str(getattr(event, "step", ""))
        # the sweep after a teardown works on resources without being a step of the plan
        step = self.steps.setdefault(name, StepView(name, "running", since=self.monotonic()))
        match event:
            case StepStarted():
                step.state, step.since = "running", self.monotonic()
                step.estimate = event.estimate_seconds or step.estimate
            case StepProgress():
                step.text, step.fraction = event.text, event.fraction
            case StepFinished():
                step.state, step.seconds, step.text = event.outcome, event.seconds, event.reason
                step.resources.clear()
            case ResourceChanged():
                self._resource(step, event)

    def _resource(self, step: StepView, event: ResourceChanged) -> None:
        if event.state in {"done", "failed"}:
            step.resources.pop(event.address, None)
            step.finished_resources += event.state == "done"
        elif event.address not in step.resources:
            step.resources[event.address] = ResourceView(event.address, event.action, self.monotonic())


def _planned(planned: PlannedStep) -> StepView:
    return StepView(planned.step, estimate=planned.estimate_seconds, text=planned.reason)
