"""Running a plan: independent steps side by side, intent recorded before action, outcome after."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from zave.clock import Clock
from zave.engine.plan import Action, PlannedAction, in_order
from zave.engine.step import Step, StepRun
from zave.errors import InterruptedRunError, StepFailedError, ZaveError
from zave.events import Emit, StepFinished, StepOutcome, StepStarted
from zave.state.directory import InstanceFolder
from zave.state.records import StepEnd, StepRecord, StepState
from zave.state.store import StateStore

Verb = Literal["do", "undo"]
# states whose work may exist, wholly or in part, and must be undone by `down`
STANDING = ("done", "running", "failed", "interrupted", "undoing")
# states of a step that never came to its end: its tool may have been killed while it wrote
CUT_OFF = ("running", "undoing", "interrupted")
_PARALLEL_STEPS = 4


@dataclass(frozen=True)
class Execution:
    """One run over one instance: where it records, whom it tells, how it is stopped.

    `force` and `agreed` are handed to every step.
    """

    run_id: str
    instance: str
    folder: InstanceFolder
    store: StateStore
    clock: Clock
    emit: Emit
    estimates: Mapping[str, float] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    force: bool = False
    agreed: frozenset[str] | None = None


@dataclass(frozen=True)
class _Task:
    step: Step
    needs: frozenset[str]
    action: str
    fingerprint: Callable[[], str]
    verb: Verb
    cut_off: bool


def execute(execution: Execution, actions: Sequence[PlannedAction]) -> dict[str, dict[str, Any]]:
    """Run what the plan says; return the outputs of every step, skipped ones included.

    The first failure lets running steps finish, starts no other and is raised. An interruption
    (`execution.stop`) does the same and raises InterruptedRunError.
    """
    records = execution.store.steps(execution.instance)
    outputs: dict[str, dict[str, Any]] = {}
    tasks: list[_Task] = []
    for planned in actions:
        name = planned.step.name
        record = records.get(name)
        if planned.action is Action.SKIP and record is not None:
            outputs[name] = dict(record.outputs)
            execution.emit(StepFinished(name, "skipped", 0.0, 0.0, planned.reason))
            continue
        tasks.append(_task(planned, "do", record))
    _run_graph(execution, tasks, outputs)
    return outputs


def _task(planned: PlannedAction, verb: Verb, record: StepRecord | None) -> _Task:
    return _Task(
        step=planned.step,
        needs=frozenset(planned.step.needs),
        action=planned.action.value,
        fingerprint=planned.step.fingerprint,
        verb=verb,
        cut_off=record is not None and record.state in CUT_OFF,
    )


def undo(execution: Execution, steps: Iterable[Step]) -> None:
    """Undo, last first, every step that is recorded as done, failed or cut off."""
    records = execution.store.steps(execution.instance)
    ordered = in_order(steps)
    standing = {s.name for s in ordered if s.name in records and records[s.name].state in STANDING}
    tasks: list[_Task] = []
    for step in reversed(ordered):
        if step.name not in standing:
            continue
        record = records[step.name]
        tasks.append(
            _Task(
                step=step,
                # reversed: a step goes away only after all that was built on it
                needs=frozenset(s.name for s in ordered if step.name in s.needs),
                action="undo",
                fingerprint=partial(str, record.fingerprint or ""),
                verb="undo",
                cut_off=record.state in CUT_OFF,
            )
        )
    outputs = {name: dict(record.outputs) for name, record in records.items()}
    _run_graph(execution, tasks, outputs)


def _run_graph(execution: Execution, tasks: Sequence[_Task], outputs: dict[str, dict[str, Any]]) -> None:
    waiting = {task.step.name: task for task in tasks}
    running: dict[Future[dict[str, Any]], _Task] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(_PARALLEL_STEPS, thread_name_prefix="step") as pool:
        while waiting or running:
            if failure is None and not execution.stop.is_set():
                busy = waiting.keys() | {task.step.name for task in running.values()}
                for task in [t for t in waiting.values() if not t.needs & busy]:
                    del waiting[task.step.name]
                    running[pool.submit(_run_task, execution, task, dict(outputs))] = task
            if not running:
                break
            # a bounded wait keeps the main thread open to signals
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                error = future.exception()
                if error is None:
                    outputs[task.step.name] = future.result()
                elif failure is None or isinstance(failure, InterruptedRunError):
                    failure = error
    if failure is not None:
        raise failure
    if waiting:
        raise InterruptedRunError(
            "stopped before " + ", ".join(waiting),
            resolution="run the same command again: it goes on where it stopped",
        )


def _run_task(execution: Execution, task: _Task, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    name, store = task.step.name, execution.store
    log = execution.folder.run_log(execution.run_id, name)
    run = StepRun(
        run_id=execution.run_id,
        log=log,
        emit=execution.emit,
        outputs=outputs,
        cut_off=task.cut_off,
        stop=execution.stop,
        step=name,
        force=execution.force,
        agreed=execution.agreed,
    )
    started, virtual_start = time.monotonic(), execution.clock.now()

    def finish(state: StepState, outcome: StepOutcome, result: Mapping[str, Any], reason: str = "") -> None:
        seconds = time.monotonic() - started
        virtual = (execution.clock.now() - virtual_start).total_seconds()
        end = StepEnd(state, seconds, virtual, outputs=dict(result), reason=reason)
        store.finish_step(execution.instance, name, end)
        execution.emit(StepFinished(name, outcome, seconds, virtual, reason))

    # recorded before the step acts: a crash must not orphan what it makes
    fingerprint = task.fingerprint()
    store.begin_step(
        execution.instance, name, run_id=execution.run_id, fingerprint=fingerprint, verb=task.verb
    )
    execution.emit(StepStarted(name, task.action, str(log), execution.estimates.get(name)))
    kept = outputs.get(name, {})
    try:
        result = _act(task, run)
    except InterruptedRunError as error:
        finish("interrupted", "interrupted", kept, error.brief)
        raise
    except ZaveError as error:
        finish("failed", "failed", kept, error.brief)
        raise
    except Exception as error:
        # recorded as failed, then raised: the error boundary tells a bug from a failure
        finish("failed", "failed", kept, f"{type(error).__name__}: {error}")
        raise
    finish("undone" if task.verb == "undo" else "done", "done", result)
    return result


def _act(task: _Task, run: StepRun) -> dict[str, Any]:
    run.check()
    if task.verb == "undo":
        task.step.undo(run)
        return {}
    return task.step.do(run)


def wait_until(
    ready: Callable[[], str | None],
    *,
    run: StepRun,
    clock: Clock,
    limit: float,
    every: float = 5.0,
    resolution: Callable[[], str] | None = None,
) -> None:
    """Ask `ready` every `every` seconds of the world's time until it returns None.

    What it returns otherwise is shown as progress; after `limit` seconds it becomes the error, with what
    `resolution` advises then.
    """
    deadline = clock.now().timestamp() + limit
    shown = ""
    while (missing := ready()) is not None:
        run.check()
        if clock.now().timestamp() >= deadline:
            raise StepFailedError(
                f"not ready after {limit:.0f} s: {missing}",
                where=f"step {run.step}",
                resolution=resolution()
                if resolution
                else "look at `zave logs`, then run the same command again",
            )
        if missing != shown:
            run.say(missing)
            shown = missing
        clock.sleep(every)
