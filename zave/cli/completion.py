"""What a shell offers for ENV and NODE: names from folders and files, never from the database."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import typer

from zave.cli.options import Given


def complete_instances(context: typer.Context, incomplete: str) -> list[str]:
    """Names of instances that have a folder in the state directory."""
    from zave.errors import ZaveError
    from zave.state.directory import StateDirectory

    try:
        root = StateDirectory.locate(os.environ, rehearsal=_given(context, "rehearse") is not None).root
    except ZaveError:
        # a shell waiting for names is no place for an explanation
        return []
    return _folders(root / "instances", incomplete)


def complete_environments(context: typer.Context, incomplete: str) -> list[str]:
    """Names of environments and of instances."""
    from zave.errors import ZaveError
    from zave.project import Project

    named = _given(context, "project")
    try:
        names = Project.locate(Path(str(named)) if named else None, Path.cwd()).environments()
    except ZaveError:
        names = []
    return sorted({*_starting(names, incomplete), *complete_instances(context, incomplete)})


def complete_nodes(context: typer.Context, incomplete: str) -> list[str]:
    """Short names of the machines that Terraform was told to make for ENV."""
    from zave.errors import ZaveError
    from zave.state.directory import StateDirectory
    from zave.steps.infra import VARIABLES

    instance = str(context.params.get("env") or "")
    try:
        directory = StateDirectory.locate(os.environ, rehearsal=_given(context, "rehearse") is not None)
        if instance not in _folders(directory.instances, ""):
            return []
        told = json.loads((directory.instance(instance).terraform / VARIABLES).read_text(encoding="utf-8"))
        names = list(told["nodes"])
    except (ZaveError, OSError, ValueError, KeyError, TypeError):
        return []
    return _starting((str(name).removeprefix(f"{instance}-") for name in names), incomplete)


def _given(context: typer.Context, name: str) -> object | None:
    given = context.find_object(Given)
    return given.values.get(name) if given is not None else None


def _folders(folder: Path, incomplete: str) -> list[str]:
    try:
        return _starting((entry.name for entry in folder.iterdir() if entry.is_dir()), incomplete)
    except OSError:
        return []


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
