"""`zave init`: a project folder of one's own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.options import options_of
from zave.errors import UsageError
from zave.ui.document import show

EXAMPLES = (
    ("zave init lab", "write environments, templates, modules and images into lab/"),
    ("zave init lab --force", "put the packaged files back over your own"),
    ("zave up homelab --rehearse --project lab", "try your changes, offline and free"),
)


def command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to write into.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Make a project folder to own and edit.

    What is in it overrides what zave carries; delete what you do not change
    and zave's own applies again. Nothing is overwritten without --force.
    """
    from zave.project import Project
    from zave.ui.init import render_init

    options = options_of(context)
    target = folder.absolute()
    try:
        made = Project().copy_to(target, overwrite=force)
    except OSError as error:
        raise UsageError(f"the project cannot be written: {error.strerror}", where=str(target)) from error
    document: dict[str, Any] = {
        "schema": "zave/init/v1",
        "folder": str(target),
        "files": [str(path.relative_to(target)) for path in made],
    }
    show(document, render_init, settings=options.settings)
