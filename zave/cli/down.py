"""`zave down`: destroy an environment and prove it."""

from typing import Annotated

import typer

from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Fault, FaultFile, IfAny, Instance, Speed, StepTimeout, Yes
from zave.cli.nothing_done import tell_nothing_done
from zave.cli.options import options_of
from zave.errors import NothingStandsError

EXAMPLES = (
    ("zave down homelab --rehearse", "destroy, sweep, receipt"),
    ("zave down --rehearse --yes", "the only instance that is up, without the question"),
    ("zave down homelab --rehearse --recover", "when Terraform's state was damaged"),
    ("zave down aws-demo --force", "when something in the cluster does not let go"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    yes: Yes = False,
    recover: Annotated[
        bool, typer.Option("--recover", help="Restore Terraform's state from the newest verified copy first.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Take finalizers away that nobody releases; what they guard may stay behind.",
        ),
    ] = False,
    if_any: IfAny = False,
    step_timeout: StepTimeout = None,
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Destroy an environment and end with a receipt.

    Works from the record, not from the spec file: it takes down what was
    made. A leak makes the exit code 6.
    """
    zave = Context(options_of(context), step_timeout=step_timeout, speed=speed)
    try:
        instance = zave.instances.only_standing(env)
        zave.instances.record(instance)
    except NothingStandsError as error:
        if not if_any:
            raise
        tell_nothing_done(zave, command="down", instance=env or "all", text=error.brief)
        return
    ask = zave.screens.asker(yes=yes)
    with zave.locked(instance, command="down"):
        zave.try_luck(Luck(tuple(fault or ()), faults))
        from zave.lifecycle.down import tear_down

        tear_down(
            zave.recorded_place(instance),
            ask=ask,
            recover=recover,
            force=force,
            arguments=zave.arguments,
        )
