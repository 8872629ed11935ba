"""`zave logs`: what the tools of a run's steps said."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.completion import complete_instances
from zave.cli.context import Context
from zave.cli.options import options_of
from zave.errors import UsageError
from zave.state.directory import InstanceFolder
from zave.state.lock import holder

EXAMPLES = (
    ("zave logs homelab --rehearse", "the end of each step's log, of the newest run"),
    ("zave logs homelab infra -n 0", "all of one step's"),
    ("zave logs homelab -f", "as it grows, while a run goes on"),
    ("zave logs homelab infra --raw", "byte for byte as the tool wrote it"),
)


def command(
    context: typer.Context,
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="The instance.", autocompletion=complete_instances)
    ],
    step: Annotated[str | None, typer.Argument(metavar="[STEP]", help="One step; all unless given.")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="A run; the newest unless given.")
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", metavar="N", min=0, help="Last N lines; 0: all.")
    ] = 200,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on while a run goes on.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The bytes as they are, escapes included.")] = False,
) -> None:
    """Show the logs of a run's steps, made harmless for the screen."""
    from zave.ui.logview import Follower, copy_raw, print_logs, start_of_last

    zave = Context(options_of(context))
    instance = zave.only_standing(env)
    folder = zave.directory.instance(instance)
    if not folder.root.is_dir():
        zave.record(instance)
    run_id = run or _newest(folder, instance)
    if follow:
        follower = Follower(lambda: _logs(folder, run_id, step), out=sys.stdout)
        follower.follow(lines=lines, goes_on=lambda: holder(folder.lock) is not None)
        return
    paths = _logs(folder, run_id, step)
    if not paths:
        raise _missing(instance, run_id, step, folder)
    if raw:
        for path in paths:
            copy_raw(path, start_of_last(path, lines) if lines else 0, sys.stdout.buffer)
    elif zave.settings.output == "json":
        document = logs_document(instance, run_id, paths, lines=lines)
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        print_logs(paths, lines=lines, out=sys.stdout)


def logs_document(instance: str, run_id: str, paths: Sequence[Path], *, lines: int) -> dict[str, Any]:
    """The `zave/logs/v1` document; `truncated` when there is more than it carries."""
    from zave.ui.logview import lines_from, start_of_last

    logs = []
    for path in paths:
        # even "all" is bounded here: a document is read as a whole
        start = start_of_last(path, lines or sys.maxsize)
        found = list(lines_from(path, start))
        size = path.stat().st_size
        logs.append(
            {"step": path.stem, "path": str(path), "bytes": size, "truncated": start > 0, "lines": found}
        )
    return {"schema": "zave/logs/v1", "instance": instance, "run_id": run_id, "logs": logs}


def _newest(folder: InstanceFolder, instance: str) -> str:
    runs = sorted(entry.name for entry in folder.logs.iterdir()) if folder.logs.is_dir() else []
    if not runs:
        raise UsageError(
            f"{instance} has no logs yet",
            where=str(folder.logs),
            resolution=f"zave up {instance} writes some",
        )
    return runs[-1]


def _logs(folder: InstanceFolder, run_id: str, step: str | None) -> list[Path]:
    if step is not None:
        wanted = [folder.run_log(run_id, step)]
    else:
        wanted = list(folder.run_log(run_id, "any").parent.glob("*.log"))
    # in the order in which the steps began to write
    return sorted((path for path in wanted if path.is_file()), key=lambda path: path.stat().st_ctime_ns)


def _missing(instance: str, run_id: str, step: str | None, folder: InstanceFolder) -> UsageError:
    others = ", ".join(path.stem for path in _logs(folder, run_id, None))
    what = f"step {step}" if step else "steps"
    return UsageError(
        f"run {run_id} of {instance} has no log of {what}",
        resolution=f"it has: {others}" if others else "zave history lists the runs",
    )
