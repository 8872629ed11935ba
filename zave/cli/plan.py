"""`zave plan`: what `up` would do."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Environment, Name
from zave.cli.options import options_of
from zave.errors import DifferencesError

EXAMPLES = (
    ("zave plan homelab --rehearse", "steps with reasons, Terraform's changes, cost"),
    ("zave plan homelab --rehearse -o json", "the same as a zave/plan/v1 document"),
    (
        "zave plan homelab --rehearse --detailed-exitcode",
        "exit 3 on changes, or without parity",
    ),
)


def command(
    context: typer.Context,
    env: Environment,
    name: Name = None,
    detailed_exitcode: Annotated[
        bool,
        typer.Option("--detailed-exitcode", help="Exit 3 on changes, or without parity."),
    ] = False,
) -> None:
    """Show what `up` would do, and why. Changes nothing.

    In an account, what `up` would refuse is looked for as well. Where the
    project has a second environment, both trees are compared as `zave parity`
    does.
    """
    zave = Context(options_of(context))
    instance, environment = zave.instances.names(env, name)
    place = zave.place_to_build(instance, environment)
    from zave.lifecycle.parity import parity_of
    from zave.lifecycle.plan import differs, lost_parity, plan_document, planned_actions
    from zave.lifecycle.preconditions import preconditions_of
    from zave.tools.kubectl import Kubectl
    from zave.ui.document import show
    from zave.ui.plan import render_plan

    actions = planned_actions(place)
    # beside Terraform, which takes longer
    with ThreadPoolExecutor(2) as pool:
        parity = pool.submit(parity_of, place, find=lambda: Kubectl.find(zave.runner))
        preconditions = pool.submit(preconditions_of, place)
        document = plan_document(place, actions)
        document["preconditions"] = preconditions.result()
        document["parity"] = parity.result()
    show(document, render_plan, settings=zave.settings)
    if detailed_exitcode and differs(document):
        raise DifferencesError(f"{instance} would change", resolution=f"zave up {instance}")
    if detailed_exitcode and lost_parity(document):
        other = document["parity"]["with"]
        raise DifferencesError(
            f"{environment} and {other} are not the same platform",
            resolution=f"zave parity {environment} {other} shows what differs",
        )
