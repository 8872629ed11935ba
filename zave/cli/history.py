"""`zave history`: runs and receipts."""

from typing import Annotated, Any

import typer

from zave.cli.completion import complete_instances
from zave.cli.context import Context
from zave.cli.options import options_of
from zave.clock import rfc3339
from zave.state.records import RunRecord
from zave.ui.document import show
from zave.ui.history import render_history

EXAMPLES = (
    ("zave history", "the newest runs of all instances"),
    ("zave history homelab --rehearse", "those of one, with its receipts"),
    ("zave history --limit 100 -o json", "a zave/history/v1 document"),
)


def command(
    context: typer.Context,
    env: Annotated[
        str | None,
        typer.Argument(
            metavar="[ENV]", help="One instance; all unless given.", autocompletion=complete_instances
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most N of each.")] = 20,
) -> None:
    """List runs and receipts, newest first."""
    zave = Context(options_of(context))
    name = zave.checked(env)
    if name is not None:
        zave.instances.record(name)
    document = {
        "schema": "zave/history/v1",
        "instance": name,
        "runs": [_run(record) for record in zave.store.runs(name, limit=limit)],
        "receipts": [
            {"run_id": record.run_id, "instance": record.instance, "receipt": dict(record.document)}
            for record in zave.store.receipts(name)[:limit]
        ],
    }
    show(document, render_history, settings=zave.settings)


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "instance": record.instance,
        "command": record.command,
        "arguments": list(record.arguments),
        "started_at": rfc3339(record.started_at),
        "finished_at": None if record.finished_at is None else rfc3339(record.finished_at),
        "outcome": record.outcome,
        "exit_code": record.exit_code,
        "seconds": record.seconds,
        "virtual_seconds": record.virtual_seconds,
        "error": None if record.error is None else dict(record.error),
    }
