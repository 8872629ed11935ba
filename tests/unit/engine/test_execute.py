import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from zave.engine.execute import Execution, execute, undo, wait_until
from zave.engine.plan import plan
from zave.engine.step import Step, StepRun
from zave.errors import InterruptedRunError, StepFailedError
from zave.events import Event, StepFinished, StepStarted


def bring_up(execution: Execution, steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    return execute(execution, plan(steps, execution.store.steps("lab")))


def states(execution: Execution) -> dict[str, str]:
    return {name: record.state for name, record in execution.store.steps("lab").items()}


def test_intent_is_recorded_before_a_step_acts(step: Any, execution: Execution) -> None:
    seen = []
    infra = step("infra", during=lambda run: seen.append(states(execution)["infra"]))
    bring_up(execution, [infra])
    assert seen == ["running"]
    assert states(execution) == {"infra": "done"}


def test_outputs_reach_the_steps_that_need_them_also_from_skipped_ones(
    step: Any, execution: Execution
) -> None:
    first = step("image", outputs={"location": "/pool/base"})
    bring_up(execution, [first])
    seen = []
    second = step("infra", ("image",), during=lambda run: seen.append(run.outputs["image"]["location"]))
    outputs = bring_up(execution, [first, second])
    assert seen == ["/pool/base"]
    assert first.calls == ["do"]
    assert outputs["image"] == {"location": "/pool/base"}


def test_independent_steps_run_side_by_side(step: Any, execution: Execution) -> None:
    together = threading.Barrier(2, timeout=10)
    steps = [step(name, during=lambda run: together.wait()) for name in ("render", "image")]
    bring_up(execution, steps)
    assert states(execution) == {"render": "done", "image": "done"}


def test_a_failure_lets_running_steps_finish_and_starts_no_other(step: Any, execution: Execution) -> None:
    started = threading.Event()

    def slow(run: StepRun) -> None:
        started.set()
        time.sleep(0.1)

    def fail(run: StepRun) -> None:
        started.wait(10)
        raise StepFailedError("refused")

    after = step("infra", ("render", "image"))
    with pytest.raises(StepFailedError, match="refused"):
        bring_up(execution, [step("render", during=slow), step("image", during=fail), after])
    assert states(execution) == {"render": "done", "image": "failed"}
    assert after.calls == []


def test_a_bug_in_a_step_is_recorded_as_failed_and_raised_as_it_is(step: Any, execution: Execution) -> None:
    with pytest.raises(ZeroDivisionError):
        bring_up(execution, [step("infra", error=ZeroDivisionError("oops"))])
    record = execution.store.steps("lab")["infra"]
    assert (record.state, record.reason) == ("failed", "ZeroDivisionError: oops")


def test_resume_goes_on_where_it_stopped(step: Any, execution: Execution) -> None:
    render, infra = step("render"), step("infra", ("render",), error=StepFailedError("no"))
    with pytest.raises(StepFailedError):
        bring_up(execution, [render, infra])
    infra.error = None
    bring_up(execution, [render, infra])
    assert render.calls == ["do"]
    assert infra.calls == ["do", "do"]


def test_a_request_to_stop_ends_before_the_next_step_and_is_recorded(step: Any, execution: Execution) -> None:
    render = step("render", during=lambda run: run.stop.set())
    infra = step("infra", ("render",))
    with pytest.raises(InterruptedRunError):
        bring_up(execution, [render, infra])
    assert infra.calls == []
    assert states(execution) == {"render": "done"}


def test_an_interrupted_step_is_recorded_as_interrupted(step: Any, execution: Execution) -> None:
    def stopped(run: StepRun) -> None:
        run.stop.set()
        run.check()

    with pytest.raises(InterruptedRunError):
        bring_up(execution, [step("infra", during=stopped)])
    assert states(execution) == {"infra": "interrupted"}


def test_undo_reverses_done_failed_and_cut_off_steps_and_leaves_the_rest(
    step: Any, execution: Execution
) -> None:
    order: list[str] = []
    steps = [
        step("render", during=lambda run: order.append("render")),
        step("infra", ("render",), during=lambda run: order.append("infra")),
        step("verify", ("infra",), during=lambda run: order.append("verify")),
        step("later", ("verify",)),
    ]
    bring_up(execution, steps[:2])
    execution.store.begin_step("lab", "verify", run_id=execution.run_id, fingerprint="same", verb="do")
    order.clear()
    undo(execution, steps)
    assert order == ["verify", "infra", "render"]
    assert steps[3].calls == []
    assert set(states(execution).values()) == {"undone"}


def test_undo_stops_at_a_failure_and_keeps_what_was_built_below(step: Any, execution: Execution) -> None:
    render, infra = step("render"), step("infra", ("render",))
    bring_up(execution, [render, infra])
    infra.error = StepFailedError("delete refused")
    with pytest.raises(StepFailedError, match="delete refused"):
        undo(execution, [render, infra])
    assert render.calls == ["do"]
    assert states(execution) == {"render": "done", "infra": "failed"}
    infra.error = None
    undo(execution, [render, infra])
    assert set(states(execution).values()) == {"undone"}


def test_a_step_learns_that_an_earlier_attempt_was_cut_off(step: Any, execution: Execution) -> None:
    seen: list[bool] = []
    infra = step("infra", during=lambda run: seen.append(run.cut_off))
    execution.store.begin_step("lab", "infra", run_id=execution.run_id, fingerprint="same", verb="do")
    bring_up(execution, [infra])
    undo(execution, [infra])
    assert seen == [True, False]


def test_every_step_that_starts_is_told_and_its_end_as_well(
    step: Any, execution: Execution, events: list[Event]
) -> None:
    bring_up(execution, [step("render"), step("infra", ("render",))])
    told = [(type(e).__name__, e.step) for e in events if isinstance(e, StepStarted | StepFinished)]
    assert told == [
        ("StepStarted", "render"),
        ("StepFinished", "render"),
        ("StepStarted", "infra"),
        ("StepFinished", "infra"),
    ]


class SteppingClock:
    """A clock that only sleeping moves."""

    def __init__(self, start: datetime) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def test_waiting_ends_with_what_is_missing_when_the_world_takes_too_long(
    execution: Execution, tmp_path: Path
) -> None:
    clock = SteppingClock(execution.clock.now())
    said: list[Any] = []
    run = StepRun(run_id="r", log=tmp_path / "log", emit=said.append, outputs={}, step="verify")
    with pytest.raises(StepFailedError, match="node a is NotReady") as caught:
        wait_until(lambda: "node a is NotReady", run=run, clock=clock, limit=60)
    assert caught.value.where == "step verify"
    assert [event.text for event in said] == ["node a is NotReady"]


def test_waiting_returns_as_soon_as_nothing_is_missing(execution: Execution, tmp_path: Path) -> None:
    clock = SteppingClock(execution.clock.now())
    answers = iter(["not yet", "not yet", None])
    run = StepRun(run_id="r", log=tmp_path / "log", emit=lambda event: None, outputs={}, step="verify")
    wait_until(lambda: next(answers), run=run, clock=clock, limit=60)
    assert (clock.now() - execution.clock.now()).total_seconds() <= 10
