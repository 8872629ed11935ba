"""Deciding what must run, before anything runs: RUN, RERUN or SKIP, each with its reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from zave.engine.step import Explaining, Step
from zave.state.records import StepRecord


class Action(StrEnum):
    """What a plan wants of a step."""

    RUN = "run"
    RERUN = "rerun"
    SKIP = "skip"


@dataclass(frozen=True)
class PlannedAction:
    """One step of a plan."""

    step: Step
    action: Action
    reason: str


def in_order(steps: Iterable[Step]) -> list[Step]:
    """`steps` so that each comes after what it needs. Raises ValueError for a cycle or a gap."""
    waiting = {step.name: step for step in steps}
    done: list[Step] = []
    names: set[str] = set()
    while waiting:
        ready = [step for step in waiting.values() if names.issuperset(step.needs)]
        if not ready:
            raise ValueError(f"steps need one another or something missing: {', '.join(waiting)}")
        for step in ready:
            done.append(step)
            names.add(step.name)
            del waiting[step.name]
    return done


def plan(steps: Sequence[Step], records: Mapping[str, StepRecord]) -> list[PlannedAction]:
    """Compare each step's fingerprint and live probe with its record, in order of need."""
    planned: list[PlannedAction] = []
    again: set[str] = set()
    for step in in_order(steps):
        action, reason = _decide(step, records.get(step.name), again)
        if action is not Action.SKIP:
            again.add(step.name)
        planned.append(PlannedAction(step, action, reason))
    return planned


def _decide(step: Step, record: StepRecord | None, again: set[str]) -> tuple[Action, str]:
    if record is None:
        return Action.RUN, "never done"
    if record.state == "undone":
        return Action.RUN, "was taken down"
    reason = _unfinished(record) or _outdated(step, record, again)
    return (Action.RERUN, reason) if reason else (Action.SKIP, "up to date")


def _unfinished(record: StepRecord) -> str | None:
    """Why a step that has begun is not done; None for one that is."""
    return {
        "running": f"was cut off in run {record.run_id}",
        "undoing": f"its teardown was cut off in run {record.run_id}",
        "interrupted": "was interrupted",
        "failed": f"failed: {record.reason}" if record.reason else "failed",
    }.get(record.state)


def _outdated(step: Step, record: StepRecord, again: set[str]) -> str | None:
    """Why a step that is done must be done again; None when it need not."""
    if record.fingerprint != step.fingerprint():
        told = step.change(record.outputs) if isinstance(step, Explaining) else None
        return told or "its inputs changed"
    changed = [name for name in step.needs if name in again]
    if changed:
        return f"comes after {', '.join(changed)}"
    # last: everything above is free, a probe asks the world
    probe = step.probe(record.outputs)
    return None if probe.ok else probe.reason
