"""`zave config`: each setting with its origin."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from zave.cli.options import Options, options_of
from zave.settings import BY_NAME, user_file
from zave.ui.document import show

EXAMPLES = (
    ("zave config", "every setting, its value and where it comes from"),
    ("ZAVE_PARALLELISM=4 zave config", "a variable overrides files and defaults"),
    ("zave config -o json", "the same as a zave/config/v1 document"),
)


def command(context: typer.Context) -> None:
    """Show each setting with its value and its origin.

    Precedence: flag, ZAVE_* variable, zave.toml in the project folder,
    zave/config.toml in the user's configuration folder, default.
    """
    from zave.ui.config import render_config

    options = options_of(context)
    show(config_document(options), render_config, settings=options.settings)


def config_document(options: Options) -> dict[str, Any]:
    """The `zave/config/v1` document."""
    settings = options.settings
    rows = [
        {
            "name": name,
            "value": getattr(settings, name),
            "origin": settings.origins[name],
            "variable": setting.variable,
            "summary": setting.summary,
        }
        for name, setting in BY_NAME.items()
    ]
    return {"schema": "zave/config/v1", "settings": rows, "folders": _folders(options)}


def _folders(options: Options) -> list[Mapping[str, str | None]]:
    from zave.project import Project
    from zave.state.directory import StateDirectory

    project = Project.locate(options.project, Path.cwd())
    if project.folder is None:
        origin = "packaged"
    elif options.project_origin:
        origin = options.project_origin
    else:
        origin = "working directory"
    state = StateDirectory.locate(os.environ, rehearsal=options.rehearse)
    state_origin = next(
        (name for name in ("ZAVE_STATE_DIR", "XDG_STATE_HOME") if os.environ.get(name)), "default"
    )
    return [
        {"name": "project", "path": str(project.folder or project.assets), "origin": origin},
        {"name": "state", "path": str(state.root), "origin": state_origin},
        {"name": "user settings", "path": str(user_file(os.environ)), "origin": "default"},
    ]
