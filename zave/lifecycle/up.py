"""`zave up`: plan, question, run; again and again until it stands."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zave.clock import rfc3339
from zave.engine.execute import Execution, execute
from zave.engine.plan import Action, PlannedAction
from zave.errors import DeclinedError, RefusedChangeError
from zave.events import PlannedStep, PlanShown
from zave.lifecycle.fixed_values import require_fixed_values
from zave.lifecycle.inventory import GOING
from zave.lifecycle.place import Place
from zave.lifecycle.plan import plan_document, planned_actions
from zave.lifecycle.room import NoRoomError, require_room, shortages_of
from zave.lifecycle.run import Run, running
from zave.platforms.libvirt_changes import in_words
from zave.spec.load import spec_document

Ask = Callable[[str], None]


def bring_up(place: Place, *, ask: Ask | None, arguments: Sequence[str]) -> None:
    """Bring the instance up. `ask` (None: nobody is asked) raises DeclinedError for a no."""
    place.require_same_platform()
    # before anything is asked of the place where it should not be
    require_fixed_values(place)
    before = place.begin_life()
    with running(place.journal, command="up", arguments=arguments) as run:
        place.take_over(run)
        try:
            with place.cleanup.hold(run):
                _bring_up(place, run, ask)
        except (DeclinedError, NoRoomError):
            raise  # nothing was touched: what stood before stands as before
        except RefusedChangeError:
            place.save(phase=before.phase)  # nor here, but it may have begun
            raise
        except KeyboardInterrupt:
            raise  # a signal ends a run that way only while nothing is being changed
        except BaseException:
            place.save(phase="degraded" if before.phase in ("ready", "degraded") else "failed")
            raise


def _bring_up(place: Place, run: Run, ask: Ask | None) -> None:
    with run.changing_nothing():
        execution, actions = _planned(place, run, ask)
    place.save(phase="provisioning", spec=spec_document(place.spec))
    # what a teardown had set out to delete is wanted again
    place.site.store.delete_fact(place.instance, GOING)
    outputs = execute(execution, actions)
    place.save(phase="ready", outputs=_shown(place, outputs))
    place.cleanup.meter()
    run.notice(_ready(place), resolution=f"zave exec {place.instance} -- kubectl get nodes")


def _planned(place: Place, run: Run, ask: Ask | None) -> tuple[Execution, Sequence[PlannedAction]]:
    """What to do, and with what consent. Changes nothing."""
    actions = planned_actions(place)
    estimates = run.execution.estimates
    run.started(
        tuple(PlannedStep(p.step.name, p.action.value, p.reason, estimates.get(p.step.name)) for p in actions)
    )
    if any(p.action is not Action.SKIP for p in actions if p.step.name in ("image", "infra")):
        _require_room(place, run)
    execution = run.execution
    if ask is not None and any(p.action is not Action.SKIP for p in actions):
        document = plan_document(place, actions)
        run.bus.emit(PlanShown(document))
        lost = frozenset(m["name"] for m in document["machines"] if m["loses_disk"])
        loss = f" What is on the disk of {in_words(lost)} is lost." if lost else ""
        ask(f"Bring {place.instance} up?{loss}")
        execution = replace(execution, agreed=lost)
    return execution, actions


def _require_room(place: Place, run: Run) -> None:
    """Before anything is made: what the host is short of is told, or refused."""
    found = shortages_of(place)
    for shortage in found:
        if not shortage.refused:
            run.notice(shortage.what, warning=True, resolution=shortage.fix)
    require_room(found)


def _ready(place: Place) -> str:
    """Where the cluster answers, and until when."""
    record = place.record()
    end = "" if record.expires_at is None else f", until {rfc3339(record.expires_at)}"
    return f"{place.instance} is up at {record.outputs['endpoint']}{end}"


def _shown(place: Place, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `status` shows of the outputs."""
    infra = outputs["infra"]
    return {
        "endpoint": infra.get("cluster_endpoint"),
        "kubernetes_version": infra.get("kubernetes_version"),
        "kubeconfig": str(place.site.folder.kubeconfig),
        "nodes": outputs["verify"].get("nodes", []),
    }
