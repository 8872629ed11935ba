"""`zave doctor`: tools, machine and project, each finding with its fix."""

from typing import Annotated

import typer

from zave.cli.completion import complete_environments
from zave.cli.context import Context
from zave.cli.options import options_of
from zave.errors import PreconditionError
from zave.ui.doctor import render_doctor
from zave.ui.document import show

EXAMPLES = (
    ("zave doctor", "look at everything"),
    ("zave doctor --rehearse", "only what a rehearsal needs"),
    ("zave doctor homelab", "exit 5 when something that it needs is missing"),
)


def command(
    context: typer.Context,
    env: Annotated[
        str | None,
        typer.Argument(metavar="[ENV]", help="What it is about.", autocompletion=complete_environments),
    ] = None,
) -> None:
    """Look at tools, machine, state and project; say how to fix what is wrong.

    Exit 5 when something needed is missing.
    """
    from zave.cli.findings import document_of, look

    zave = Context(options_of(context))
    findings = look(zave, env)
    missing = [finding for finding in findings if finding.level == "missing" and finding.needed]
    document = {
        "schema": "zave/doctor/v1",
        "environment": env,
        "rehearsal": zave.rehearsal,
        "ready": not missing,
        "findings": [document_of(finding) for finding in findings],
    }
    show(document, render_doctor, settings=zave.settings)
    if missing:
        raise PreconditionError(
            f"needed and missing: {', '.join(finding.check for finding in missing)}",
            resolution="the findings above say how to get it",
        )
