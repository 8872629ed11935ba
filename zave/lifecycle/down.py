"""`zave down`: the reverse of everything recorded, then the sweep, then the receipt.

After Terraform the inventory decides, not the exit code.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from zave.clock import rfc3339
from zave.engine.execute import CUT_OFF, undo
from zave.errors import LeakError, PreconditionError, StepFailedError, StuckError
from zave.events import PlannedStep, ReceiptIssued
from zave.lifecycle.place import Place
from zave.lifecycle.run import Run, running
from zave.receipt import Settlement, Subject, leaking_cost, receipt
from zave.steps.infra import SEAL, guard_of, require_state, seal_of
from zave.steps.kubeconfig import MERGED

if TYPE_CHECKING:
    from zave.lifecycle.up import Ask


def tear_down(
    place: Place,
    *,
    ask: "Ask | None",
    recover: bool,
    arguments: Sequence[str],
    force: bool = False,
    due: Callable[[], bool] = lambda: True,
) -> dict[str, Any] | None:
    """Take the instance down and return the receipt. Raises LeakError (exit 6) when anything stands.

    `force` goes on past what does not let go, and may leave behind what it holds. `due` is asked once
    nobody else works on the instance any more; where it is not, nothing is touched, and there is no receipt.
    """
    if ask is not None:
        ask(f"Take {place.instance} down? Everything that it made will be deleted.")
    with running(place.journal, command="down", arguments=arguments) as run:
        place.take_over(run)
        if recover:
            _recover_state(place, run)
        with place.cleanup.hold(run):
            # `extend` sets the schedule, then looks for who holds the lock: one of the two sees the other
            if not due():
                run.started(())
                run.notice(f"the end of {place.instance} was moved meanwhile: it stays")
                return None
            return _tear_down(place, run, force=force)


def _tear_down(place: Place, run: Run, *, force: bool) -> dict[str, Any]:
    run.started(_undo_plan(place, run))
    before = place.record().phase
    place.save(phase="destroying")
    place.cleanup.note()
    place.cleanup.meter()
    try:
        # first of all: a state that cannot be trusted must stop the teardown before it begins
        infra = place.site.store.steps(place.instance).get("infra")
        cut_off = infra is not None and infra.state in CUT_OFF
        require_state(place.site, cut_off=cut_off, emit=run.bus.emit)
    except PreconditionError:
        place.save(phase=before)  # refused: nothing was touched
        raise
    try:
        undo(dataclasses.replace(run.execution, force=force), place.steps)
    except StepFailedError as error:
        place.save(phase="failed")
        stopped = place.cleanup.stopped()
        if stopped is not None:
            # the user must know what still stands, and costs, although the teardown is not done
            _issue(place, run, stopped)
            raise
        if isinstance(error, StuckError):
            # going on would leave behind what only the cluster can clean up
            raise
        run.notice(f"{error.brief}: the sweep deletes what is left", warning=True)
    except BaseException:
        place.save(phase="failed")
        raise
    document = _issue(place, run, place.cleanup.sweep(run))
    if document["leaks"]:
        place.save(phase="failed")
        raise _leak_error(place, document)
    place.save(phase="destroyed", outputs={}, expires_at=None)
    _tell_left_context(place, run)
    return document


def _tell_left_context(place: Place, run: Run) -> None:
    """Say that the user's own kubeconfig still names the cluster: zave put that there on request only."""
    file = place.site.store.fact(place.instance, MERGED)
    if file is None:
        return
    from zave.lifecycle.merged_kubeconfig import left_behind

    if left_behind(file, f"zave-{place.instance}"):
        run.notice(
            f"the context zave-{place.instance} is still in {file}",
            resolution=f"zave kubeconfig {place.instance} --unmerge takes it out",
        )


def _undo_plan(place: Place, run: Run) -> tuple[PlannedStep, ...]:
    records = place.site.store.steps(place.instance)
    planned: list[PlannedStep] = []
    for step in reversed(place.steps):
        record = records.get(step.name)
        if record is None or record.state == "undone":
            planned.append(PlannedStep(step.name, "skip", "nothing to take down"))
        else:
            estimate = run.execution.estimates.get(step.name)
            planned.append(PlannedStep(step.name, "undo", f"recorded as {record.state}", estimate))
    return tuple(planned)


def _recover_state(place: Place, run: Run) -> None:
    guard = guard_of(place.site)
    recovery = guard.recover(seal_of(place.site))
    # what was restored is the truth from now on, even where it is older than the last seal
    place.site.store.put_fact(place.instance, SEAL, dataclasses.asdict(guard.seal()))
    run.notice(recovery.describe(), warning=True)


def _issue(place: Place, run: Run, settlement: Settlement) -> dict[str, Any]:
    """Write, keep and tell the receipt. Only a receipt without leaks ends the teardown."""
    document = receipt(
        settlement,
        Subject(place.instance, place.journal.environment, place.journal.rehearsal),
        at=rfc3339(place.site.tools.clock.now()),
        sources=[place.site.tools.inventory.source],
    )
    place.site.store.add_receipt(place.instance, document, run.id)
    place.cleanup.conclude(document, clean=not settlement.leaks)
    run.bus.emit(ReceiptIssued(document))
    return document


def _leak_error(place: Place, document: dict[str, Any]) -> LeakError:
    leaks = document["leaks"]
    return LeakError(
        f"{len(leaks)} of {place.instance} still stand after the teardown ({leaking_cost(document)})",
        details="\n".join(f"{leak['type']} {leak['name']}: {leak['how_to_delete']}" for leak in leaks),
        resolution=f"zave down {place.instance} tries again; zave sweep {place.instance} looks again",
    )
