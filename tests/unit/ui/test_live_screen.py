import io
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from zave.events import (
    Event,
    Notice,
    PlannedStep,
    ReceiptIssued,
    ResourceChanged,
    RunFinished,
    RunStarted,
    Stamped,
    StepFinished,
    StepProgress,
    StepStarted,
)
from zave.ui.live import LiveScreen, draw
from zave.ui.progress import RunView
from zave.ui.style import Style

Stamp = Callable[..., Stamped]
STEPS = tuple(
    PlannedStep(name, "run", "never done") for name in ("render", "image", "infra", "gitops", "verify")
)
HOSTILE = "[/foo] [red]x[/red] \x1b]0;owned\x07\x1b[2J :smile:"


class Moment:
    """A monotonic clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def view(stamp: Stamp, moment: Moment) -> RunView:
    view = RunView(monotonic=moment)
    view.apply(stamp(RunStarted("r1", "up", "homelab", "homelab", rehearsal=True, steps=STEPS)))
    return view


def text_of(view: RunView, *, width: int = 100, height: int = 40) -> list[str]:
    return [line.plain for line in draw(view, width=width, height=height)]


def apply(view: RunView, stamp: Stamp, *events: Event, after: float = 0.0) -> None:
    for event in events:
        view.apply(stamp(event, after=after))


def test_every_step_of_the_plan_has_a_line(view: RunView) -> None:
    lines = text_of(view)
    assert "zave up homelab  REHEARSAL" in lines[0]
    assert [line.split()[1] for line in lines[1:]] == [step.step for step in STEPS]


def test_both_clocks_are_shown(view: RunView, stamp: Stamp, moment: Moment) -> None:
    moment.now += 3.2
    apply(view, stamp, StepStarted("render", "run", "/log"), after=312)
    assert "virtual 2026-11-23 10:20:12Z (+5 min 12 s)" in text_of(view)[0]
    assert "real 3.2 s" in text_of(view)[0]


def test_a_real_run_has_no_virtual_clock(stamp: Stamp) -> None:
    view = RunView()
    apply(view, stamp, RunStarted("r1", "up", "homelab", "homelab", rehearsal=False, steps=STEPS))
    assert "virtual" not in text_of(view)[0]
    assert "REHEARSAL" not in text_of(view)[0]


def test_the_bar_follows_the_estimate_and_waits_before_the_end(
    view: RunView, stamp: Stamp, moment: Moment
) -> None:
    apply(view, stamp, StepStarted("infra", "run", "/log", estimate_seconds=10.0))
    moment.now += 5.0
    assert "########--------" in text_of(view)[3]
    moment.now += 500.0
    step = view.steps["infra"]
    assert step.progress(moment.now) == 0.95
    apply(view, stamp, StepProgress("infra", "nearly", 0.25))
    assert step.progress(moment.now) == 0.25
    apply(view, stamp, StepFinished("infra", "done", 505.0, 0.0))
    assert step.progress(moment.now) == 1.0


def test_resources_in_progress_stand_under_their_step(view: RunView, stamp: Stamp) -> None:
    def resource(address: str, state: Any) -> ResourceChanged:
        return ResourceChanged("infra", address, "libvirt_domain", "create", state)

    apply(
        view,
        stamp,
        StepStarted("infra", "run", "/log"),
        resource("d.a", "started"),
        resource("d.b", "started"),
    )
    assert ["d.a" in text_of(view)[4], "d.b" in text_of(view)[5]] == [True, True]
    apply(view, stamp, resource("d.a", "done"))
    lines = text_of(view)
    assert "1 resources" in lines[3]
    assert not any("d.a" in line for line in lines)


@pytest.mark.parametrize("width", [1, 2, 10, 40, 200])
@pytest.mark.parametrize("height", [1, 2, 3, 5, 100])
def test_no_terminal_is_too_small(view: RunView, stamp: Stamp, *, width: int, height: int) -> None:
    apply(view, stamp, StepStarted("verify", "run", "/log"), StepProgress("verify", "word " * 100))
    lines = draw(view, width=width, height=height)
    assert len(lines) <= max(height - 1, 1)
    assert all(line.cell_len <= max(width - 1, 1) for line in lines)


def test_a_small_terminal_shows_what_runs_first(view: RunView, stamp: Stamp) -> None:
    apply(view, stamp, StepFinished("render", "done", 1.0, 0.0), StepStarted("verify", "run", "/log"))
    assert "verify" in text_of(view, height=3)[1]


def test_the_sweeps_resources_have_a_line_although_no_step_was_planned(view: RunView, stamp: Stamp) -> None:
    event = ResourceChanged("sweep", "zave-x", "libvirt_volume", "delete", "started")
    apply(view, stamp, event)
    assert any("sweep" in line for line in text_of(view))


def play(screen: LiveScreen, stamp: Stamp) -> None:
    receipt = {
        "environment": "homelab",
        "rehearsal": True,
        "at": "2026-11-23T10:15:00.000Z",
        "deleted": [],
        "accepted": [],
        "leaks": [],
        "usd_per_day_leaking": 0.0,
        "inventory_sources": ["simulated libvirt"],
        "sha256": "0" * 64,
    }
    for event in (
        RunStarted("r1", "down", "homelab", "homelab", rehearsal=True, steps=STEPS),
        StepStarted("infra", "run", "/log"),
        StepProgress("infra", HOSTILE),
        Notice("warning", HOSTILE),
        StepFinished("infra", "done", 1.0, 0.0),
        ReceiptIssued(receipt),
        RunFinished("r1", "down", "homelab", "done", 0, 1.0, 0.0),
    ):
        screen.emit(stamp(event))
    screen.close()


def test_hostile_words_are_neither_markup_nor_escapes(stamp: Stamp) -> None:
    talk, data = io.StringIO(), io.StringIO()
    play(LiveScreen(talk=talk, data=data, style=Style()), stamp)
    assert "warning: [/foo] [red]x[/red] :smile:" in talk.getvalue()
    assert "\x1b]0" not in talk.getvalue()
    assert "\x1b[2J" not in talk.getvalue()
    assert "Receipt of homelab" in data.getvalue()
    assert "Receipt" not in talk.getvalue()


def test_a_question_before_the_first_step_meets_no_screen(stamp: Stamp) -> None:
    talk = io.StringIO()
    screen = LiveScreen(talk=talk, data=io.StringIO(), style=Style())
    screen.emit(stamp(RunStarted("r1", "up", "homelab", "homelab", rehearsal=True, steps=STEPS)))
    assert talk.getvalue() == ""
    screen.close()


SCRIPT = """
import sys, time
from datetime import datetime, UTC
from zave.events import *
from zave.ui.sinks import sink_for
from zave.settings import default_settings
sink = sink_for(default_settings())
now = datetime(2026, 11, 23, tzinfo=UTC)
steps = tuple(PlannedStep(f"step-{n}", "run", "never done") for n in range(20))
sink.emit(Stamped(RunStarted("r1", "up", "homelab", "homelab", True, steps), now, now))
sink.emit(Stamped(StepStarted("step-1", "run", "/log"), now, now))
time.sleep(float(sys.argv[1]))
sink.emit(Stamped(StepFinished("step-1", "done", 1.0, 2.0), now, now))
sink.emit(Stamped(RunFinished("r1", "up", "homelab", "done", 0, 1.0, 2.0), now, now))
sink.close()
"""


def start_on_a_terminal(seconds: float) -> tuple[subprocess.Popen[bytes], int]:
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "8"}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(seconds)], stderr=slave, stdout=subprocess.PIPE, env=environment
    )
    os.close(slave)
    return child, master


def drain(master: int) -> bytes:
    seen = b""
    try:
        while block := os.read(master, 65536):
            seen += block
    except OSError:
        pass  # the terminal's other end is closed: everything has been read
    os.close(master)
    return seen


def test_on_a_terminal_it_draws_at_most_eight_times_a_second() -> None:
    child, master = start_on_a_terminal(1.0)
    seen = drain(master)
    assert child.wait(timeout=20) == 0
    assert child.stdout is not None
    assert child.stdout.read() == b""
    child.stdout.close()
    drawings = seen.count(b"zave up homelab")
    assert 3 <= drawings <= 12
    assert b"up homelab: done" in seen


def test_a_killed_zave_leaves_a_usable_terminal() -> None:
    child, master = start_on_a_terminal(60.0)
    seen = b""
    while b"step-1" not in seen:
        seen += os.read(master, 65536)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=20)
    seen += drain(master)
    assert child.stdout is not None
    child.stdout.close()
    # neither a hidden cursor nor the alternate screen is left behind
    assert b"\x1b[?25l" not in seen
    assert b"\x1b[?1049h" not in seen
