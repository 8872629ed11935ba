"""The live screen: steps, resources in progress, bars with estimates, virtual and real clock.

Drawn on stderr with rich. All text in it is cleaned and never read as markup.
"""

import threading
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from zave.events import Notice, PlanShown, ReceiptIssued, RunFinished, Stamped, StepFinished, StepStarted
from zave.ui.plain import describe
from zave.ui.plan import render_plan
from zave.ui.progress import ResourceView, RunView, StepView
from zave.ui.receipt import render_receipt
from zave.ui.style import Style, one_line, span

REFRESHES_PER_SECOND = 8
_BAR = 16
_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "dim": "dim", "strong": "bold"}
_MARKS = {
    "waiting": (".", "dim"),
    "running": (">", "cyan"),
    "done": ("+", "green"),
    "skipped": ("=", "dim"),
    "failed": ("x", "red"),
    "interrupted": ("!", "yellow"),
}


class _Console(Console):
    """A console that leaves the cursor alone: a zave that is killed must not take it along."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing, and say so."""
        del show
        return False


class LiveScreen:
    """A sink that redraws a few lines at most eight times a second.

    The screen is up only while steps run, so that questions before them stay readable. The receipt
    is printed to `data` when the screen is gone.
    """

    def __init__(self, *, talk: TextIO, data: TextIO, style: Style) -> None:
        self._console = _Console(
            file=talk,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=False,
            no_color=not style.enabled,
        )
        self._data = data
        self._style = style
        self._view = RunView()
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._receipts: list[dict[str, Any]] = []

    def emit(self, stamped: Stamped) -> None:
        """Take one event in; print what must stay on the screen."""
        event = stamped.event
        with self._lock:
            self._view.apply(stamped)
        match event:
            case StepStarted() | StepFinished() if self._live is None:
                self._start()
            case Notice():
                self._print(event)
            case PlanShown():
                self._console.print(Text.from_ansi(render_plan(event.plan, style=self._style)), end="")
            case ReceiptIssued():
                self._receipts.append(event.receipt)
            case RunFinished():
                self._stop()
                self._print(event)

    def close(self) -> None:
        """Take the screen down and print the receipts."""
        self._stop()
        for receipt in self._receipts:
            self._data.write(render_receipt(receipt, style=self._style))
        self._data.flush()
        self._receipts.clear()

    def _start(self) -> None:
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            # stdout is for data: what is written there must not pass through the screen
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def _print(self, event: Notice | RunFinished) -> None:
        line = describe(event, rehearsal=self._view.rehearsal)
        if line is not None:
            text, tone = line
            self._console.print(Text(text, style=_STYLES[tone] if tone else ""))

    def _draw(self) -> Group:
        with self._lock:
            return Group(*draw(self._view, width=self._console.width, height=self._console.height))


def draw(view: RunView, *, width: int, height: int) -> list[Text]:
    """The screen's lines for a terminal of this size; never more lines, never wider."""
    now = view.monotonic()
    blocks = [
        [_step(step, now)] + [_resource(r, now) for r in step.resources.values()] for step in _steps(view)
    ]
    lines = [_header(view, now), *(line for block in blocks for line in block)]
    # one line stays free: a full screen would scroll with each refresh
    room = max(height - 1, 1)
    if len(lines) > room:
        lines = _most_telling(view, now, room)
    for line in lines:
        line.truncate(max(width - 1, 1), overflow="ellipsis")
        line.no_wrap = True
    return lines


def _steps(view: RunView) -> list[StepView]:
    return list(view.steps.values())


def _most_telling(view: RunView, now: float, room: int) -> list[Text]:
    """What a terminal of few lines should show: what runs, then what failed, then the rest."""
    ranks = {"running": 0, "failed": 1, "interrupted": 1, "waiting": 2}
    ranked = sorted(_steps(view), key=lambda step: ranks.get(step.state, 3))
    kept = {step.name for step in ranked[: max(room - 1, 1)]}
    lines = [_step(step, now) for step in _steps(view) if step.name in kept]
    return [_header(view, now), *lines][-room:]


def _header(view: RunView, now: float) -> Text:
    header = Text(f"zave {one_line(view.command)} {one_line(view.instance)}", style="bold")
    if view.rehearsal:
        header.append("  REHEARSAL", style="bold yellow")
        moment = view.virtual_now.strftime("%Y-%m-%d %H:%M:%SZ") if view.virtual_now else ""
        header.append(f"  virtual {moment} (+{span(view.virtual_seconds)})", style="yellow")
    header.append(f"  real {span(view.seconds(now))}", style="dim")
    return header


def _step(step: StepView, now: float) -> Text:
    mark, colour = _MARKS.get(step.state, ("?", ""))
    line = Text(f"  {mark} ", style=colour)
    line.append(f"{one_line(step.name):<14}", style="bold" if step.state == "running" else "")
    if step.state in {"running", "done", "failed", "interrupted"}:
        line.append(f"{span(step.elapsed(now)):>10}  ")
    progress = step.progress(now)
    if step.state == "running" and progress is not None:
        filled = round(progress * _BAR)
        line.append("#" * filled, style="green")
        line.append("-" * (_BAR - filled) + "  ", style="dim")
        if step.estimate:
            line.append(f"usually {span(step.estimate)}  ", style="dim")
    if step.finished_resources:
        line.append(f"{step.finished_resources} resources  ")
    line.append(one_line(step.text), style="dim")
    return line


def _resource(resource: ResourceView, now: float) -> Text:
    took = span(now - resource.since)
    return Text(f"      {resource.action:<8}{took:>8}  {one_line(resource.address)}", style="cyan")
