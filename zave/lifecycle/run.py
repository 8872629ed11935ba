"""One run of a verb over one instance: recorded from its first to its last moment."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal

from zave.clock import Clock
from zave.engine.execute import Execution
from zave.errors import DeclinedError, ExitCode, InterruptedRunError, ZaveError
from zave.events import Bus, Notice, PlannedStep, RunFinished, RunStarted
from zave.state.directory import InstanceFolder
from zave.state.store import StateStore

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Journal:
    """Where a run is recorded and told: the store, the instance's folder, the clock, the sinks.

    `open_bus` opens the sinks of the run with the given id.

    `rehearsal` is a label for documents, never a reason to do something else.
    """

    store: StateStore
    folder: InstanceFolder
    clock: Clock
    open_bus: Callable[[str], Bus]
    instance: str
    environment: str
    platform: str
    rehearsal: bool
    interrupt: Callable[[], None] = lambda: None


@dataclass
class Run:
    """A run that has begun."""

    id: str
    journal: Journal
    bus: Bus
    execution: Execution
    command: str
    error: ZaveError | None = field(default=None)
    _at_once: bool = field(default=False)

    @property
    def ends_at_once(self) -> bool:
        """Whether nothing is being changed, so that a signal need not wait for anything."""
        return self._at_once

    @contextlib.contextmanager
    def changing_nothing(self) -> Iterator[None]:
        """While the body only looks, asks or waits: a signal ends it at once, with KeyboardInterrupt.

        A request to stop that came before ends it here.
        """
        self._at_once = True
        try:
            # after the line above: what comes between them is not missed
            if self.execution.stop.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def started(self, steps: tuple[PlannedStep, ...]) -> None:
        """Tell the sinks what is going to happen."""
        journal = self.journal
        self.bus.emit(
            RunStarted(self.id, self.command, journal.instance, journal.environment, journal.rehearsal, steps)
        )

    def notice(self, text: str, *, warning: bool = False, resolution: str | None = None) -> None:
        """Tell people something beside the steps."""
        self.bus.emit(Notice("warning" if warning else "info", text, resolution))


@contextlib.contextmanager
def running(journal: Journal, *, command: str, arguments: Sequence[str]) -> Iterator[Run]:
    """Record a run around the body: begun before anything acts, finished whatever happens.

    Any exception is recorded as the run's outcome, told as the last event, and raised on.
    """
    store = journal.store
    record = store.begin_run(instance=journal.instance, command=command, arguments=arguments)
    bus = journal.open_bus(record.id)
    execution = Execution(
        run_id=record.id,
        instance=journal.instance,
        folder=journal.folder,
        store=store,
        clock=journal.clock,
        emit=bus.emit,
        estimates=store.typical_step_seconds(journal.platform, verb="undo" if command == "down" else "do"),
    )
    run = Run(record.id, journal, bus, execution, command)
    started, virtual_start = time.monotonic(), journal.clock.now()
    failure: BaseException | None = None
    try:
        with _stopping_on_signals(run):
            yield run
    except BaseException as error:
        failure = error
        raise
    finally:
        seconds = time.monotonic() - started
        virtual = (journal.clock.now() - virtual_start).total_seconds()
        _finish(run, failure, seconds=seconds, virtual=virtual)


def _finish(run: Run, failure: BaseException | None, *, seconds: float, virtual: float) -> None:
    outcome, code, document = _verdict(failure)
    store = run.journal.store
    store.finish_run(
        run.id,
        outcome=outcome,
        exit_code=code,
        seconds=seconds,
        virtual_seconds=virtual,
        error=document,
    )
    run.bus.emit(
        RunFinished(
            run.id,
            run.command,
            run.journal.instance,
            outcome=outcome,
            exit_code=code,
            seconds=seconds,
            virtual_seconds=virtual,
            error=document,
        )
    )
    run.bus.close()
    # after the last event: a backup must not delay what people wait for
    store.backup()


def _verdict(
    failure: BaseException | None,
) -> tuple[Literal["done", "failed", "interrupted", "declined"], int, dict[str, Any] | None]:
    match failure:
        case None:
            return "done", ExitCode.DONE, None
        case DeclinedError():
            return "declined", failure.exit_code, dict(failure.to_document())
        case InterruptedRunError():
            return "interrupted", failure.exit_code, dict(failure.to_document())
        case ZaveError():
            return "failed", failure.exit_code, dict(failure.to_document())
        case KeyboardInterrupt():
            return "interrupted", ExitCode.INTERRUPTED, None
        case _:
            bug = {"type": type(failure).__name__, "brief": str(failure), "exit_code": 1}
            return "failed", ExitCode.FAILED, bug


@contextlib.contextmanager
def _stopping_on_signals(run: Run) -> Iterator[None]:
    """Turn the first signal into a request to stop; running tools get one interrupt, never two.

    Where nothing is being changed it ends the run at once.
    """

    def asked(number: int, _frame: FrameType | None) -> None:
        if run.ends_at_once:
            raise KeyboardInterrupt
        if run.execution.stop.is_set():
            return  # a second interrupt would make Terraform lose data
        run.execution.stop.set()
        # off the handler: the bus's lock may be held by the very thread that was interrupted
        threading.Thread(target=_stop, args=(number, run), daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, asked) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, run: Run) -> None:
    name = signal.Signals(number).name
    run.bus.emit(
        Notice("warning", f"{name}: stopping; running tools are given time to finish what they hold")
    )
    run.journal.interrupt()


def close_cut_off_runs(store: StateStore, instance: str, *, own: str) -> list[str]:
    """Record as interrupted every earlier run that never finished; return their commands.

    Only the holder of the instance's lock may call this: then no such run can be alive.
    """
    closed: list[str] = []
    for record in store.unfinished_runs(instance):
        if record.id == own:
            continue
        store.finish_run(
            record.id,
            outcome="interrupted",
            exit_code=ExitCode.INTERRUPTED,
            # how long it lived nobody knows
            seconds=0.0,
            virtual_seconds=0.0,
            error={"brief": "zave was killed"},
        )
        closed.append(f"{record.command} ({record.id})")
    return closed
