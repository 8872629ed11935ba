"""`zave logs`: what the tools of a run's steps said, or k3s on a machine of a home lab."""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from zave.cli.completion import complete_instances, complete_nodes
from zave.cli.context import Context
from zave.cli.options import options_of
from zave.errors import StepFailedError, UsageError
from zave.ports import Request
from zave.state.directory import InstanceFolder
from zave.state.lock import holder
from zave.text import clean

EXAMPLES = (
    ("zave logs homelab --rehearse", "the end of each step's log, of the newest run"),
    ("zave logs homelab infra -n 0", "all of one step's"),
    ("zave logs homelab -f", "as it grows, while a run goes on"),
    ("zave logs homelab --node worker-1", "the end of k3s' journal on a machine"),
)

# lines of a journal, and seconds to wait for them
_MOST_JOURNAL = 5_000
_JOURNAL_TIMEOUT = 30.0


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
    node: Annotated[
        str | None,
        typer.Option("--node", metavar="NODE", help="k3s on a machine.", autocompletion=complete_nodes),
    ] = None,
) -> None:
    """Show the logs of a run's steps, made harmless for the screen."""
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    if node is not None:
        if step or run or follow or raw:
            raise UsageError(
                "--node shows a machine's journal, not a run's logs",
                resolution=f"zave ssh {instance} {node} -- sudo journalctl -fu k3s follows it",
            )
        _show_journal(zave, instance, node, lines=lines)
        return
    folder = zave.directory.instance(instance)
    if not folder.root.is_dir():
        zave.instances.record(instance)
    run_id = run or _newest(folder, instance)
    if follow:
        from zave.ui.logview import Follower

        follower = Follower(lambda: _logs(folder, run_id, step), out=sys.stdout)
        follower.follow(lines=lines, goes_on=lambda: holder(folder.lock) is not None)
        return
    paths = _logs(folder, run_id, step)
    if not paths:
        raise _missing(instance, run_id, step, folder)
    if not raw and zave.settings.output == "json":
        document = logs_document(instance, run_id, paths, lines=lines)
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _print(paths, lines=lines, raw=raw)


def _print(paths: Sequence[Path], *, lines: int, raw: bool) -> None:
    from zave.ui.logview import copy_raw, print_logs, start_of_last

    if not raw:
        print_logs(paths, lines=lines, out=sys.stdout)
        return
    for path in paths:
        copy_raw(path, start_of_last(path, lines) if lines else 0, sys.stdout.buffer)


def _show_journal(zave: Context, instance: str, node: str, *, lines: int) -> None:
    """The end of k3s' journal on a machine. Raises StepFailedError when the machine does not answer."""
    from zave.cli.nodes import lab_of, tell_simulated
    from zave.ui.logview import print_logs

    lab = lab_of(zave, instance)
    machine = lab.machine(node)
    wanted = min(lines or _MOST_JOURNAL, _MOST_JOURNAL)
    words = ["sudo", "journalctl", "--no-pager", "--output=short-iso", "--unit=k3s", f"--lines={wanted}"]
    tell_simulated(zave, "the machine is simulated, it keeps no journal")
    with tempfile.TemporaryDirectory(prefix="zave-") as folder:
        journal, errors = Path(folder) / "k3s.log", Path(folder) / "errors.log"
        request = Request(
            argv=tuple(lab.machines.shell(machine, words)),
            cwd=Path(folder),
            log=journal,
            errors=errors,
            environment=dict(os.environ),
            timeout=_JOURNAL_TIMEOUT,
        )
        outcome = zave.runner.run(request)
        if outcome.exit_code != 0 or outcome.timed_out:
            said = errors.read_text(encoding="utf-8", errors="replace")[-2000:] if errors.exists() else ""
            raise StepFailedError(
                f"the journal of {machine.name} cannot be read",
                details=clean(said),
                where=machine.address,
                resolution=f"zave console {instance} {node} shows whether it is up",
            )
        if zave.settings.output == "json":
            document = logs_document(instance, None, [journal], lines=wanted)
            document["node"] = machine.name
            # where it is kept, not the copy that is gone in a moment
            document["logs"][0]["path"] = f"journal of k3s on {machine.name}"
            sys.stdout.write(json.dumps(document, indent=2) + "\n")
        else:
            print_logs([journal], lines=wanted, out=sys.stdout)


def logs_document(instance: str, run_id: str | None, paths: Sequence[Path], *, lines: int) -> dict[str, Any]:
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
