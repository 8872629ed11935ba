"""`zave snapshot`: a copy of a home lab's cluster datastore."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Lab
from zave.cli.nodes import lab_of, tell_simulated
from zave.cli.options import options_of
from zave.clock import rfc3339
from zave.errors import UsageError
from zave.ui.document import show
from zave.ui.machines import render_snapshot

EXAMPLES = (
    ("zave snapshot homelab", "into a new file in the instance's folder"),
    ("zave snapshot homelab before.snapshot", "into this new file"),
    ("zave snapshot homelab --rehearse -o json", "a zave/snapshot/v1 document"),
)


def command(
    context: typer.Context,
    env: Lab,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A new file; one in the instance's folder.")
    ] = None,
) -> None:
    """Copy the cluster's datastore and its keys into a file.

    With it a control plane that is lost begins anew as what it was. It holds
    every Secret, and what opens them: keep it as private as a root password.
    """
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    with zave.locked(instance, command="snapshot"):
        lab = lab_of(zave, instance)
        now = zave.clock.now()
        path = file or _own_file(zave, instance, f"{now:%Y%m%dT%H%M%SZ}")
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already", resolution="name a new file")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", resolution="make it, or name another file")
        tell_simulated(zave, "the datastore is simulated: the file holds no cluster")
        lab.machines.snapshot(lab.wanted, path)
        document = snapshot_document(zave, instance, path, action="taken")
    show(document, render_snapshot, settings=zave.settings)


def snapshot_document(zave: Context, instance: str, path: Path, *, action: str) -> dict[str, Any]:
    """The `zave/snapshot/v1` document; `action` is `taken` or `restored`."""
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return {
        "schema": "zave/snapshot/v1",
        "instance": instance,
        "rehearsal": zave.rehearsal,
        "action": action,
        "path": str(path.absolute()),
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "at": rfc3339(zave.clock.now()),
    }


def _own_file(zave: Context, instance: str, moment: str) -> Path:
    folder = zave.directory.instance(instance).root / "snapshots"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{moment}.snapshot"
