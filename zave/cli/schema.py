"""`zave schema`: the JSON Schemas of zave's documents."""

import json
import sys
from typing import Annotated

import typer

from zave.cli.options import options_of
from zave.schemas import kinds, load_schema
from zave.ui.document import show

EXAMPLES = (
    ("zave schema", "the kinds of documents"),
    ("zave schema status", "the JSON Schema of zave/status/v1"),
    ("zave schema libvirt-k3s", "that of an environment.yaml"),
)


def _complete(incomplete: str) -> list[str]:
    return [kind for kind in kinds() if kind.startswith(incomplete)]


def command(
    context: typer.Context,
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="A kind of document.", autocompletion=_complete)
    ] = None,
) -> None:
    """Print the JSON Schema of a document, or list the kinds."""
    if kind is not None:
        sys.stdout.write(json.dumps(load_schema(kind), indent=2) + "\n")
        return
    document = {"schema": "zave/schemas/v1", "kinds": list(kinds())}
    show(
        document,
        lambda found, style: "".join(f"{name}\n" for name in found["kinds"]),
        settings=options_of(context).settings,
    )
