"""`zave up`: create or update an environment."""

import typer

from zave.cli.context import Context, Luck
from zave.cli.lifecycle_options import Environment, Fault, FaultFile, Name, Speed, StepTimeout, Yes
from zave.cli.options import options_of

EXAMPLES = (
    ("zave up homelab --rehearse", "the whole life offline: no VM, no account, no cost"),
    ("zave up homelab --rehearse --yes", "without the question"),
    (
        "zave up homelab --name lab2 --rehearse",
        "under another name; beside homelab it needs a network of its own",
    ),
    (
        "zave up homelab --rehearse --fault 'crash provider once'",
        "with bad luck; run it again and it goes on",
    ),
)


def command(
    context: typer.Context,
    env: Environment,
    name: Name = None,
    yes: Yes = False,
    step_timeout: StepTimeout = None,
    fault: Fault = None,
    faults: FaultFile = None,
    speed: Speed = None,
) -> None:
    """Create an environment, or bring it to what its spec says.

    Safe to repeat: what is done and still stands is skipped, what a killed
    run left is taken over.
    """
    zave = Context(options_of(context), step_timeout=step_timeout, speed=speed)
    instance, environment = zave.instances.names(env, name)
    ask = zave.screens.asker(yes=yes)
    with zave.locked(instance, command="up"):
        zave.try_luck(Luck(tuple(fault or ()), faults))
        from zave.lifecycle.up import bring_up

        zave.settle_account(environment, ask=ask)
        bring_up(zave.place_to_build(instance, environment), ask=ask, arguments=zave.arguments)
