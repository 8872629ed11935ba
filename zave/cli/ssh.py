"""`zave ssh`: a shell, or a command, on a machine of a home lab."""

import os
import shutil
import sys
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Lab, Node
from zave.cli.nodes import lab_of, tell_simulated
from zave.cli.options import options_of
from zave.errors import StepFailedError, ToolMissingError

EXAMPLES = (
    ("zave ssh homelab worker-1", "a shell on it"),
    ("zave ssh homelab control-plane -- sudo k3s kubectl get nodes", "one command there"),
    ("zave ssh homelab worker-1 --rehearse", "says what it would do"),
)


def command(
    context: typer.Context,
    env: Lab,
    node: Node,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="A command to run there.")
    ] = None,
) -> None:
    """Open a shell on a machine, or run a command there.

    Only a machine that shows the host key which zave read from its console is
    spoken to. The exit status is the command's own.
    """
    zave = Context(options_of(context))
    lab = lab_of(zave, zave.instances.only_standing(env))
    argv = list(lab.machines.shell(lab.machine(node), words or ()))
    program = shutil.which(argv[0])
    if program is None:
        raise ToolMissingError(
            f"{argv[0]} was not found", resolution="install the package openssh-client of your distribution"
        )
    tell_simulated(zave, "the machine is simulated, nothing listens there")
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        # in zave's place: signals, terminal and exit status are the command's own
        os.execv(program, argv)  # noqa: S606  an argument list, no shell
    except OSError as error:
        raise StepFailedError(f"{program} cannot be run: {error.strerror}") from error
