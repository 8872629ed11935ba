"""`zave kubeconfig`: where a cluster's kubeconfig is, or what is in it."""

from pathlib import Path
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of
from zave.errors import NotThereYetError, PreconditionError
from zave.ui.document import show
from zave.ui.kubeconfig import render_kubeconfig

EXAMPLES = (
    ("zave kubeconfig homelab --rehearse", "the path of the file"),
    ("export KUBECONFIG=$(zave kubeconfig homelab)", "for the tools of this shell"),
    ("zave kubeconfig homelab --content", "the text itself"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    content: Annotated[bool, typer.Option("--content", help="Print the text, not the path.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="Merge it into ~/.kube/config.")] = False,
) -> None:
    """Print the path, or the text, of an instance's kubeconfig."""
    if merge:
        raise NotThereYetError(
            "zave does not merge kubeconfigs yet",
            resolution="export KUBECONFIG=$(zave kubeconfig ENV), or zave exec ENV -- COMMAND",
        )
    zave = Context(options_of(context))
    instance = zave.only_standing(env)
    path = kubeconfig_of(zave, instance)
    document = {
        "schema": "zave/kubeconfig/v1",
        "instance": instance,
        "path": str(path),
        "content": path.read_text(encoding="utf-8") if content else None,
    }
    show(document, render_kubeconfig, settings=zave.settings)


def kubeconfig_of(zave: Context, instance: str) -> Path:
    """The path of the instance's kubeconfig. Raises PreconditionError (exit 5) when there is none."""
    record = zave.record(instance)
    path = zave.directory.instance(instance).kubeconfig
    if not path.is_file():
        raise PreconditionError(
            f"{instance} has no kubeconfig",
            where=str(path),
            details=f"its phase is {record.phase}",
            resolution=f"zave up {instance} writes it once the cluster answers",
        )
    return path
