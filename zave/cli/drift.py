"""`zave drift`: whether what stands still matches what was asked for."""

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.errors import DifferencesError, LockedError
from zave.state.lock import holder

EXAMPLES = (
    ("zave drift homelab --rehearse", "compare plan, world and record; exit 3 on differences"),
    ("zave rehearse lose libvirt_domain zave-homelab-worker-1", "lose a node behind Terraform's back"),
    ("zave drift homelab --rehearse -o json", "the differences as a zave/drift/v1 document"),
)


def command(context: typer.Context, env: Instance = None) -> None:
    """Compare Terraform's plan, the live inventory and the record. Changes nothing.

    Of an instance that a run works on nothing is told but that.
    """
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    zave.instances.record(instance)
    _refuse_while_changed(zave, instance)
    place = zave.recorded_place(instance)
    from zave.lifecycle.drift import drift_document
    from zave.ui.document import show
    from zave.ui.drift import render_drift

    document = drift_document(place)
    if not document["in_sync"]:
        # what a run began meanwhile is no drift either
        _refuse_while_changed(zave, instance)
    show(document, render_drift, settings=zave.settings)
    if not document["in_sync"]:
        raise DifferencesError(
            f"{instance} has drifted",
            resolution=f"zave up {instance} brings it back; zave plan {instance} shows how",
        )


def _refuse_while_changed(zave: Context, instance: str) -> None:
    """Raise LockedError, naming the run at work: what it has not done yet would be told as drift."""
    lock = zave.directory.instance(instance).lock
    working = holder(lock)
    if working is not None:
        raise LockedError(
            f"{working.command} works on {instance}, pid {working.pid}",
            where=str(lock),
            resolution=f"zave logs {instance} --follow shows what it does; ask again once it has ended",
        )
