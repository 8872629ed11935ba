"""`zave plan`: what `up` would do."""

from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Environment, Name
from zave.cli.options import options_of
from zave.errors import DifferencesError

EXAMPLES = (
    ("zave plan homelab --rehearse", "steps with reasons, Terraform's changes, cost"),
    ("zave plan homelab --rehearse -o json", "the same as a zave/plan/v1 document"),
    ("zave plan homelab --rehearse --detailed-exitcode", "exit 3 when something would change"),
)


def command(
    context: typer.Context,
    env: Environment,
    name: Name = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 3 when something would change.")
    ] = False,
) -> None:
    """Show what `up` would do, and why. Changes nothing."""
    zave = Context(options_of(context))
    instance, environment = zave.names(env, name)
    place = zave.place(instance, environment)
    from zave.lifecycle.plan import differs, plan_document, planned_actions
    from zave.ui.document import show
    from zave.ui.plan import render_plan

    document = plan_document(place, planned_actions(place))
    show(document, render_plan, settings=zave.settings)
    if detailed_exitcode and differs(document):
        raise DifferencesError(f"{instance} would change", resolution=f"zave up {instance}")
