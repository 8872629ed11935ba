"""Events for people off a terminal: one line an event on stderr, results on stdout."""

from datetime import UTC
from typing import TextIO

from zave.events import (
    Event,
    Notice,
    PlanShown,
    ReceiptIssued,
    ResourceChanged,
    RunFinished,
    RunStarted,
    Stamped,
    StepFinished,
    StepProgress,
    StepStarted,
)
from zave.ui.advice import advice
from zave.ui.plan import render_plan
from zave.ui.receipt import render_receipt
from zave.ui.style import Style, Tone, one_line, span

# seconds by which the machine's two clocks may differ over a step; a rehearsal's differ by far more
_SAME_TIME = 0.5

Line = tuple[str, Tone | None]


class PlainLines:
    """A sink without cursor movements. `quiet` keeps warnings, errors and results only."""

    def __init__(
        self, *, talk: TextIO, data: TextIO, style: Style, quiet: bool = False, verbose: bool = False
    ) -> None:
        self._talk = talk
        self._data = data
        self._style = style
        self._quiet = quiet
        self._verbose = verbose
        self._rehearsal = False

    def emit(self, stamped: Stamped) -> None:
        """Write the event's line, if it has one."""
        event = stamped.event
        if isinstance(event, RunStarted):
            self._rehearsal = event.rehearsal
        if isinstance(event, ReceiptIssued):
            self._write(self._data, render_receipt(event.receipt, style=self._style))
            return
        if isinstance(event, PlanShown):
            if not self._quiet:
                self._write(self._talk, render_plan(event.plan, style=self._style))
            return
        if self._quiet and not (isinstance(event, Notice) and event.level != "info"):
            return
        line = describe(event, verbose=self._verbose, rehearsal=self._rehearsal)
        if line is not None:
            text, tone = line
            moment = stamped.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._write(self._talk, f"{moment}  {self._style.paint(text, tone)}\n")

    def close(self) -> None:
        """Nothing is held back."""

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:
            # nobody reads any more; the run goes on
            self._quiet = True


def describe(event: Event, *, verbose: bool = False, rehearsal: bool = False) -> Line | None:
    """One event as one clean line and its tone; None for what only a screen can use."""
    line: Line | None = None
    match event:
        case RunStarted():
            mark = "  REHEARSAL" if event.rehearsal else ""
            line = f"{event.command} {event.instance}  run {event.run_id}{mark}", "strong"
        case StepStarted():
            usual = f", usually {span(event.estimate_seconds)}" if event.estimate_seconds else ""
            line = f"{event.step}: {event.action}{usual}", None
        case StepProgress():
            line = f"{event.step}: {_one_line(event.text)}", None
        case ResourceChanged():
            line = _resource(event, verbose=verbose)
        case StepFinished():
            line = _step_finished(event)
        case Notice():
            line = _notice(event, rehearsal=rehearsal)
        case RunFinished():
            line = _run_finished(event)
    return line


def _run_finished(event: RunFinished) -> Line:
    took = _took(event.seconds, event.virtual_seconds)
    text = f"{event.command} {event.instance}: {event.outcome} in {took}"
    return text, "good" if event.exit_code == 0 else "bad"


def _resource(event: ResourceChanged, *, verbose: bool) -> Line | None:
    if event.state == "progress" and not verbose:
        return None
    # a name for what it became: "create done" is what people search logs for
    text = f"{event.step}: {_one_line(event.address)} {event.action} {event.state}"
    if event.state in {"done", "failed"} and event.seconds >= 0.05:
        text += f" after {span(event.seconds)}"
    if event.message:
        text += f": {_one_line(event.message)}"
    return text, "bad" if event.state == "failed" else "dim"


def _step_finished(event: StepFinished) -> Line:
    tones: dict[str, Tone] = {"done": "good", "failed": "bad", "skipped": "dim", "interrupted": "warn"}
    text = f"{event.step}: {event.outcome}"
    if event.outcome != "skipped":
        text += f" in {_took(event.seconds, event.virtual_seconds)}"
    if event.reason:
        text += f": {_one_line(event.reason)}"
    return text, tones[event.outcome]


def _took(seconds: float, virtual: float) -> str:
    """How long something took; the world's time only where it is not everybody's."""
    same = abs(virtual - seconds) <= _SAME_TIME
    return span(seconds) if same else f"{span(seconds)} (virtual {span(virtual)})"


def _notice(event: Notice, *, rehearsal: bool) -> Line:
    tones: dict[str, Tone | None] = {"info": None, "warning": "warn", "error": "bad"}
    where = f"{event.step}: " if event.step else ""
    text = f"{where}{event.level}: {advice(_one_line(event.text), rehearsal=rehearsal)}"
    if event.resolution:
        text += f" (next: {advice(_one_line(event.resolution), rehearsal=rehearsal)})"
    return text, tones[event.level]


def _one_line(text: str) -> str:
    words = one_line(text)
    return words if len(words) <= 500 else f"{words[:500]}..."
