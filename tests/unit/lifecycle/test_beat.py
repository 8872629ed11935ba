"""A run shows with every event that it lives, and stops when it can no longer say so."""

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from zave.clock import SystemClock
from zave.errors import LockedError, PreconditionError, ZaveError
from zave.events import Bus, Notice, Stamped
from zave.lifecycle.cleanup import beating
from zave.lifecycle.run import Run


@dataclass
class Heard:
    """A sink that keeps what it was told."""

    texts: list[str] = field(default_factory=list)
    warned: threading.Event = field(default_factory=threading.Event)

    def emit(self, stamped: Stamped) -> None:
        if isinstance(stamped.event, Notice):
            self.texts.append(stamped.event.text)
            self.warned.set() if stamped.event.level == "warning" else None

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "error",
    [LockedError("this run lost the lock"), PreconditionError("the account cannot be reached")],
    ids=lambda error: type(error).__name__,
)
def test_a_run_that_cannot_keep_its_lock_is_stopped_once_and_told_why(error: ZaveError) -> None:
    heard, interrupts, beats = Heard(), list[str](), list[str]()
    bus, stop = Bus(SystemClock(), [heard]), threading.Event()

    def notice(text: str, *, warning: bool = False) -> None:
        bus.emit(Notice("warning" if warning else "info", text))

    def beat() -> None:
        beats.append("beat")
        raise error

    run = SimpleNamespace(
        bus=bus,
        notice=notice,
        execution=SimpleNamespace(stop=stop),
        journal=SimpleNamespace(interrupt=lambda: interrupts.append("interrupt")),
    )
    with beating(cast(Run, run), beat):
        # the event itself goes through: a step that reads Terraform's must not end in the middle
        notice("one")
        assert heard.warned.wait(10)
        notice("two")
    assert heard.texts == ["one", f"stopping: {error.brief}", "two"]
    assert (interrupts, beats, stop.is_set()) == (["interrupt"], ["beat"], True)
