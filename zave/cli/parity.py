"""`zave parity`: whether two environments are one platform, but for what is declared."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.options import options_of
from zave.errors import DifferencesError, UsageError

EXAMPLES = (
    ("zave parity homelab aws-demo", "compare everything; exit 3 on what is not declared"),
    ("zave parity homelab aws-demo --table", "what is declared, as a table in Markdown"),
    ("zave parity homelab aws-demo --repository DIR", "compare a work tree of yours"),
    ("zave parity homelab aws-demo -o json", "a zave/parity/v1 document"),
)


def command(
    context: typer.Context,
    left: Annotated[str, typer.Argument(metavar="A", help="An environment.")],
    right: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    table: Annotated[
        bool, typer.Option("--table", help="Print the declared differences as a table in Markdown.")
    ] = False,
    repository: Annotated[
        Path | None,
        typer.Option(
            "--repository", metavar="DIR", help="Compare what is in this work tree, instead of rendering."
        ),
    ] = None,
) -> None:
    """Render two environments and compare every object. Offline; changes nothing."""
    zave = Context(options_of(context))
    from zave.gitops.rendered import compare_environments
    from zave.spec.load import load_spec
    from zave.spec.names import check_name
    from zave.tools.kubectl import Kubectl
    from zave.ui.document import show
    from zave.ui.parity import render_parity, render_table

    first, second = ((n, load_spec(zave.project.environment_file(check_name(n)))) for n in (left, right))
    if left == right:
        raise UsageError("that is one environment", resolution="name two")
    parity = compare_environments(
        zave.project,
        first,
        second,
        kustomize=Kubectl.find(zave.runner),
        repository=None if repository is None else repository.absolute(),
    )
    document = parity.document()
    if table:
        sys.stdout.write(render_table(document))
    else:
        show(document, render_parity, settings=zave.settings)
    if not parity.holds:
        raise DifferencesError(
            f"{left} and {right} are not the same platform",
            where=str(zave.project.path("environments/parity.yaml")),
            resolution="make them equal, or declare the difference there with its reason",
        )
