from collections.abc import Sequence
from typing import Any

import pytest

from zave.engine.execute import Execution, execute, undo
from zave.engine.plan import Action, PlannedAction, in_order, plan
from zave.engine.step import Step
from zave.errors import StepFailedError


def actions(planned: Sequence[PlannedAction]) -> dict[str, tuple[Action, str]]:
    return {p.step.name: (p.action, p.reason) for p in planned}


def bring_up(execution: Execution, steps: Sequence[Step]) -> None:
    execute(execution, plan(steps, execution.store.steps("lab")))


def test_steps_are_ordered_by_need_whatever_their_given_order(step: Any) -> None:
    steps = [step("verify", ("infra",)), step("infra", ("render",)), step("render")]
    assert [s.name for s in in_order(steps)] == ["render", "infra", "verify"]


def test_a_cycle_and_a_missing_need_are_refused(step: Any) -> None:
    with pytest.raises(ValueError, match="need one another"):
        in_order([step("a", ("b",)), step("b", ("a",))])
    with pytest.raises(ValueError, match="something missing"):
        in_order([step("a", ("nowhere",))])


def test_plan_runs_what_was_never_done(step: Any) -> None:
    planned = actions(plan([step("render")], {}))
    assert planned == {"render": (Action.RUN, "never done")}


def test_plan_skips_step_when_fingerprint_is_unchanged_and_probe_agrees(
    step: Any, execution: Execution
) -> None:
    steps = [step("render"), step("infra", ("render",))]
    bring_up(execution, steps)
    planned = actions(plan(steps, execution.store.steps("lab")))
    assert {a for a, _ in planned.values()} == {Action.SKIP}


def test_plan_reruns_on_a_new_fingerprint_and_everything_after_it(step: Any, execution: Execution) -> None:
    steps = [step("render"), step("image"), step("infra", ("render", "image"))]
    bring_up(execution, steps)
    steps[0].print_ = "other"
    planned = actions(plan(steps, execution.store.steps("lab")))
    assert planned["render"] == (Action.RERUN, "its inputs changed")
    assert planned["image"][0] is Action.SKIP
    assert planned["infra"] == (Action.RERUN, "comes after render")


@pytest.mark.parametrize(("told", "reason"), [("v1 -> v2", "v1 -> v2"), (None, "its inputs changed")])
def test_plan_gives_the_reason_of_a_step_that_can_explain_itself(
    step: Any, execution: Execution, told: str | None, reason: str
) -> None:
    explaining = step("k3s", outputs={"release": "v1"})
    bring_up(execution, [explaining])
    explaining.print_ = "other"
    # only what was recorded can be compared
    explaining.change = lambda outputs: told if outputs == {"release": "v1"} else "nothing recorded"
    assert actions(plan([explaining], execution.store.steps("lab"))) == {"k3s": (Action.RERUN, reason)}


def test_plan_reruns_when_the_live_probe_disagrees_with_the_record(step: Any, execution: Execution) -> None:
    steps = [step("infra")]
    bring_up(execution, steps)
    steps[0].healthy = False
    assert actions(plan(steps, execution.store.steps("lab"))) == {
        "infra": (Action.RERUN, "the thing is gone")
    }


def test_plan_tells_why_a_failed_step_runs_again(step: Any, execution: Execution) -> None:
    steps = [step("infra", error=StepFailedError("no room in pool"))]
    with pytest.raises(StepFailedError):
        bring_up(execution, steps)
    planned = actions(plan(steps, execution.store.steps("lab")))
    assert planned == {"infra": (Action.RERUN, "failed: no room in pool")}


def test_plan_reruns_a_step_that_was_cut_off(step: Any, execution: Execution) -> None:
    execution.store.begin_step("lab", "infra", run_id=execution.run_id, fingerprint="same", verb="do")
    planned = actions(plan([step("infra")], execution.store.steps("lab")))
    assert planned["infra"] == (Action.RERUN, f"was cut off in run {execution.run_id}")


def test_plan_runs_again_what_was_taken_down(step: Any, execution: Execution) -> None:
    steps = [step("infra")]
    bring_up(execution, steps)
    undo(execution, steps)
    assert actions(plan(steps, execution.store.steps("lab")))["infra"] == (Action.RUN, "was taken down")
