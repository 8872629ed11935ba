"""`zave init`: a project folder of one's own."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zave.cli.options import options_of
from zave.errors import UsageError
from zave.ui.document import show

EXAMPLES = (
    ("zave init lab", "write environments, templates, modules and images into lab/"),
    ("zave init lab --force", "put the packaged files back over your own"),
    ("zave init lab --ci gitlab", "a .gitlab-ci.yml as well; alone where lab/ is a project already"),
    ("zave up homelab --rehearse --project lab", "try your changes, offline and free"),
)


def command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to write into.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    ci: Annotated[
        Literal["gitlab"] | None, typer.Option("--ci", help="Write a pipeline for this service: gitlab.")
    ] = None,
    env: Annotated[
        str, typer.Option("--for", metavar="ENV", help="The environment that the pipeline is for.")
    ] = "aws-demo",
) -> None:
    """Make a project folder to own and edit.

    What is in it overrides what zave carries; delete what you do not change
    and zave's own applies again. Nothing is overwritten without --force.
    """
    from zave.project import ASSET_FOLDERS, Project
    from zave.ui.init import render_init

    options = options_of(context)
    target = folder.absolute()
    made: list[Path] = []
    if ci is not None:
        from zave.lifecycle.pipeline import check_environment

        # before anything is written: zave's own files go there as they are
        check_environment(Project(target), env)
    try:
        if ci is None or not any((target / top).is_dir() for top in ASSET_FOLDERS):
            made += Project().copy_to(target, overwrite=force)
        if ci is not None:
            made.append(_pipeline(target, env, overwrite=force))
    except OSError as error:
        raise UsageError(f"the project cannot be written: {error.strerror}", where=str(target)) from error
    document: dict[str, Any] = {
        "schema": "zave/init/v1",
        "folder": str(target),
        "files": [str(path.relative_to(target)) for path in made],
    }
    show(document, render_init, settings=options.settings)


def _pipeline(target: Path, env: str, *, overwrite: bool) -> Path:
    from zave.lifecycle.pipeline import write_pipeline
    from zave.project import Project

    return write_pipeline(Project(target), target, environment=env, overwrite=overwrite)
