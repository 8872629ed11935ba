"""`zave restore`: a home lab's cluster as a snapshot has it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Lab, Yes
from zave.cli.nodes import lab_of, tell_simulated
from zave.cli.options import options_of
from zave.cli.snapshot import snapshot_document
from zave.errors import UsageError
from zave.text import clean
from zave.ui.document import show
from zave.ui.machines import render_snapshot

EXAMPLES = (
    ("zave restore homelab before.snapshot", "asks first"),
    ("zave restore homelab before.snapshot --yes", "does not"),
    ("zave restore homelab before.snapshot --rehearse", "on the simulated world"),
)


def command(
    context: typer.Context,
    env: Lab,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What zave snapshot wrote.")],
    yes: Yes = False,
) -> None:
    """Put the cluster's datastore back as a snapshot has it.

    What was written to the cluster since then is lost; machines and volumes
    stay. A control plane that was made anew becomes the one that the snapshot
    is of. A snapshot of another instance is refused.
    """
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    if not file.is_file():
        raise UsageError(f"there is no file {file}", resolution=f"zave snapshot {instance} takes one")
    ask = zave.screens.asker(yes=yes)
    with zave.locked(instance, command="restore"):
        lab = lab_of(zave, instance)
        of_former = lab.machines.is_of_former(lab.wanted, file)
        if ask is not None:
            ask(_question(instance, file, of_former=of_former))
        tell_simulated(zave, "the datastore is simulated")

        def say(text: str, _fraction: float | None) -> None:
            if not zave.options.quiet:
                sys.stderr.write(f"{clean(text)}\n")

        lab.machines.restore(lab.wanted, file, say=say, take_over=of_former)
        if of_former:
            # it opens the control plane that is no more
            zave.directory.instance(instance).kubeconfig.unlink(missing_ok=True)
            say(f"its kubeconfig is another one now: zave up {instance} fetches it", None)
        document = snapshot_document(zave, instance, file, action="restored")
    show(document, render_snapshot, settings=zave.settings)


def _question(instance: str, file: Path, *, of_former: bool) -> str:
    if not of_former:
        return f"Restore {instance} from {file}? What its cluster has learned since then is lost."
    return (
        f"{file} is of an earlier control plane of {instance}. Have the present one become that one again? "
        "All that its cluster holds now is lost; volumes of machines that were made anew do not come back."
    )
