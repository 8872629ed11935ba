"""What a signal does to a run: at once where nothing is being changed, else with time to finish."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.unit.aws.memory import Account
from zave.aws.keys import run_lock_key, state_lock_key
from zave.clock import SystemClock
from zave.events import Bus
from zave.lifecycle.cloud_cleanup import CloudCleanup
from zave.lifecycle.run import Journal, running
from zave.state.directory import InstanceFolder, StateDirectory
from zave.state.store import StateStore
from zave.steps.site import Site


@dataclass
class Bench:
    """A journal, and whether running tools were asked to stop."""

    journal: Journal
    interrupted: threading.Event

    @property
    def outcome(self) -> str | None:
        """How the only run ended."""
        (run,) = self.journal.store.runs("demo")
        return run.outcome


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    directory.prepare()
    folder: InstanceFolder = directory.instance("demo")
    folder.prepare()
    store, interrupted = StateStore.open(directory, clock=SystemClock()), threading.Event()
    journal = Journal(
        store=store,
        folder=folder,
        clock=SystemClock(),
        open_bus=lambda _run: Bus(SystemClock(), []),
        instance="demo",
        environment="aws-demo",
        platform="aws-eks",
        rehearsal=False,
        interrupt=interrupted.set,
    )
    yield Bench(journal, interrupted)
    store.close()


def test_a_signal_ends_at_once_what_changes_nothing(bench: Bench) -> None:
    after: list[str] = []

    def look() -> None:
        with running(bench.journal, command="up", arguments=[]) as run, run.changing_nothing():
            signal.raise_signal(signal.SIGTERM)
            after.append("went on")

    with pytest.raises(KeyboardInterrupt):
        look()
    assert (after, bench.outcome) == ([], "interrupted")


def test_a_signal_while_something_is_changed_asks_its_tools_to_stop_and_nothing_new_begins(
    bench: Bench,
) -> None:
    after: list[str] = []

    def change_then_ask() -> None:
        with running(bench.journal, command="up", arguments=[]) as run:
            with run.changing_nothing():
                after.append("looked")
            signal.raise_signal(signal.SIGINT)
            assert bench.interrupted.wait(10)
            after.append("went on")
            with run.changing_nothing():
                after.append("asked")

    with pytest.raises(KeyboardInterrupt):
        change_then_ask()
    assert (after, bench.outcome) == (["looked", "went on"], "interrupted")


def test_a_wait_for_terraforms_lock_ends_with_the_first_signal_and_leaves_no_lock_of_its_own(
    bench: Bench, tmp_path: Path
) -> None:
    account = Account(tmp_path)
    account.stored.put(state_lock_key("demo"), b"{}")
    sleeps: list[str] = []

    def slept() -> None:
        sleeps.append("slept")
        signal.raise_signal(signal.SIGINT)

    account.clock.on_sleep.append(slept)
    site = SimpleNamespace(
        instance="demo", folder=bench.journal.folder, tools=SimpleNamespace(clock=account.clock)
    )
    cleanup = CloudCleanup(cast(Site, site), account)
    with (
        pytest.raises(KeyboardInterrupt),
        running(bench.journal, command="down", arguments=[]) as run,
        cleanup.hold(run),
    ):
        sleeps.append("held")
    assert sleeps == ["slept"]
    assert account.stored.get(run_lock_key("demo")) is None
    assert account.stored.get(state_lock_key("demo")) == b"{}"
