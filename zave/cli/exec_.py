"""`zave exec`: a command with an environment's variables set."""

import os
import shutil
import sys
from typing import Annotated

import typer

from zave.cli.completion import complete_instances
from zave.cli.context import Context
from zave.cli.kubeconfig import kubeconfig_of
from zave.cli.options import options_of
from zave.errors import StepFailedError, ToolMissingError

EXAMPLES = (
    ("zave exec homelab -- kubectl get nodes", "KUBECONFIG is set for the command"),
    ("zave exec homelab -- flux get all -A", "everything after -- belongs to the command"),
    ("zave exec homelab -- sh -c 'echo $ZAVE_INSTANCE'", "so is ZAVE_INSTANCE"),
)


def command(
    context: typer.Context,
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="The instance.", autocompletion=complete_instances)
    ],
    words: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command.")],
) -> None:
    """Run a command with KUBECONFIG and ZAVE_INSTANCE set for an instance.

    The exit status is the command's own.
    """
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig_of(zave, instance)),
        "ZAVE_INSTANCE": instance,
    }
    program = shutil.which(words[0])
    if program is None:
        raise ToolMissingError(
            f"{words[0]} was not found", resolution="install it, or give its full path: nothing was run"
        )
    if zave.rehearsal and not zave.options.quiet:
        sys.stderr.write("rehearsal: the cluster is simulated, nothing answers at its address\n")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        # in zave's place: signals, terminal and exit status are the command's own
        os.execve(program, words, environment)  # noqa: S606  an argument list, no shell
    except OSError as error:
        raise StepFailedError(f"{program} cannot be run: {error.strerror}") from error
