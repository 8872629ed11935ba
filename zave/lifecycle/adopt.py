"""`zave adopt`: a lost record, made again from what the platform, the bucket and Terraform's state say.

Nothing is written while anything is doubtful: a record that is wrong would let the next `down` delete
the wrong things, or none.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from zave.engine.execute import execute
from zave.engine.plan import Action, PlannedAction
from zave.errors import InterruptedRunError, PreconditionError, UsageError, ZaveError
from zave.lifecycle.place import Place
from zave.lifecycle.run import Run, running
from zave.render import write_private
from zave.state.records import InstanceRecord, ResourceRecord, StepEnd
from zave.state.store import StateStore
from zave.steps.infra import SEAL, VARIABLES
from zave.tools.terraform_state import StateSeal

_REASON = "adopted"


@dataclass(frozen=True)
class Finding:
    """What was found of an instance that is not recorded: all that its record needs.

    `steps` are outputs by the names of the steps whose work stands. `variables` are Terraform's input
    as the instance was made with, None where nobody kept it. `said` tells people what was found.
    """

    record: InstanceRecord
    source: str
    resources: tuple[ResourceRecord, ...] = ()
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seal: StateSeal | None = None
    variables: bytes | None = field(default=None, repr=False)
    said: tuple[str, ...] = ()


def look(place: Place) -> Finding | None:
    """What the platform of `place` shows of its instance; None when nothing of it stands there.

    Writes nothing. Raises PreconditionError for what is doubtful, and for another account.
    """
    if place.spec.platform == "libvirt-k3s":
        from zave.lifecycle.adopt_lab import look_at_lab

        return look_at_lab(place.site, place.spec)
    from zave.lifecycle.adopt_demo import look_at_demo

    return look_at_demo(place.site, place.spec)


def refuse_recorded(store: StateStore, instance: str) -> None:
    """Raise UsageError for an instance that stands on record: its record is not lost."""
    record = store.instance(instance)
    if record is not None and record.phase not in ("absent", "destroyed"):
        raise UsageError(
            f"{instance} is recorded already, as {record.phase}",
            resolution=f"zave status {instance} shows it; zave up {instance} heals it",
        )


def adopt(
    place: Place, *, recorded: Callable[[], Place], arguments: Sequence[str], like: InstanceRecord
) -> None:
    """Record the instance of `place`; `recorded` opens it once it is on record.

    It is looked at again under the instance's lock in the bucket: what others work on is not adopted.
    `like` is what an earlier look found. Raises PreconditionError when it is another by now.
    """
    with running(place.journal, command="adopt", arguments=arguments) as run:
        run.started(())
        with place.cleanup.hold(run):
            finding = look(place)
            if finding is None or _identity(finding.record) != _identity(like):
                raise PreconditionError(
                    f"{place.instance} changed while it was looked at",
                    resolution="run the same command again",
                )
            for text in finding.said:
                run.notice(text)
            _write(place, run, finding)
            _fetch_kubeconfig(recorded(), run)
        run.notice(f"{place.instance} is recorded again, as {finding.record.phase}")


def _identity(record: InstanceRecord) -> tuple[str, str, Mapping[str, Any]]:
    return record.environment, record.platform, record.spec


def _write(place: Place, run: Run, finding: Finding) -> None:
    store, instance, folder = place.site.store, place.instance, place.site.folder.terraform
    if finding.variables is not None and not (folder / VARIABLES).exists():
        write_private(folder / VARIABLES, finding.variables)
    store.intend_resources(instance, finding.resources, run.id)
    if finding.seal is not None:
        store.put_fact(instance, SEAL, asdict(finding.seal))
    known = {step.name for step in place.steps}
    # without a fingerprint: the next `up` does each of them again, which changes nothing that is right
    for name, outputs in ((name, told) for name, told in finding.steps.items() if name in known):
        store.begin_step(instance, name, run_id=run.id, fingerprint=None, verb="do")
        store.finish_step(instance, name, StepEnd("done", outputs=outputs, reason=_REASON))
    # last: cut off before, it is as lost as it was, and the same command begins anew
    store.save_instance(finding.record)


def _fetch_kubeconfig(place: Place, run: Run) -> None:
    """The credentials are a file that went with the record, or may have: fetched anew where that works."""
    records = place.site.store.steps(place.instance)
    actions = [PlannedAction(step, Action.SKIP, _REASON) for step in place.steps if step.name in records]
    actions += [
        PlannedAction(step, Action.RUN, "never done")
        for step in place.steps
        if step.name == "kubeconfig" and "infra" in records
    ]
    try:
        execute(run.execution, actions)
    except InterruptedRunError:
        raise
    except ZaveError as error:
        run.notice(
            f"the kubeconfig cannot be fetched now: {error.brief}",
            warning=True,
            resolution=f"zave up {place.instance} fetches it",
        )
        return
    place.save(phase=place.record().phase, outputs=_outputs(place))


def _outputs(place: Place) -> dict[str, Any]:
    """What `status` shows: the endpoint, and the nodes where the cluster answers."""
    steps = place.site.store.steps(place.instance)
    infra = steps["infra"].outputs if "infra" in steps else {}
    shown: dict[str, Any] = {
        "endpoint": infra.get("cluster_endpoint"),
        "kubernetes_version": infra.get("kubernetes_version"),
        "kubeconfig": str(place.site.folder.kubeconfig) if "kubeconfig" in steps else None,
        "nodes": [],
    }
    with suppress(ZaveError):
        nodes = place.site.tools.cluster.nodes(instance=place.instance)
        shown["nodes"] = [asdict(node) for node in nodes]
    return shown
