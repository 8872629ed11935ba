"""`zave drift`: whether what stands still matches what was asked for."""

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.errors import DifferencesError

EXAMPLES = (
    ("zave drift homelab --rehearse", "compare plan, world and record; exit 3 on differences"),
    ("zave rehearse lose libvirt_domain zave-homelab-worker-1", "lose a node behind Terraform's back"),
    ("zave drift homelab --rehearse -o json", "the differences as a zave/drift/v1 document"),
)


def command(context: typer.Context, env: Instance = None) -> None:
    """Compare Terraform's plan, the live inventory and the record. Changes nothing."""
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    place = zave.recorded_place(instance)
    from zave.lifecycle.drift import drift_document
    from zave.ui.document import show
    from zave.ui.drift import render_drift

    document = drift_document(place)
    show(document, render_drift, settings=zave.settings)
    if not document["in_sync"]:
        raise DifferencesError(
            f"{instance} has drifted",
            resolution=f"zave up {instance} brings it back; zave plan {instance} shows how",
        )
