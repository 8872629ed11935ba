"""`zave console`: what a machine of a home lab writes to its serial console."""

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Lab, Node
from zave.cli.nodes import lab_of, tell_simulated
from zave.cli.options import options_of
from zave.errors import UsageError
from zave.text import LINE_LIMIT, clean

EXAMPLES = (
    ("zave console homelab worker-1 --rehearse", "what it has written so far"),
    ("zave console homelab worker-1 --follow", "and what it writes, until Ctrl-C"),
    ("zave console homelab worker-1 --seconds 60", "and what it writes for a minute"),
)
_FOR_EVER = 366 * 86_400.0
# lines that a document carries: a boot writes a thousand
_MOST_LINES = 10_000


def command(
    context: typer.Context,
    env: Lab,
    node: Node,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", min=0, help="Go on listening for N seconds.")
    ] = 1.0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show a machine's serial console, made harmless for the screen.

    It only listens. To type there: virsh console zave-ENV-NODE.
    """
    from zave.ui.document import show
    from zave.ui.machines import render_console

    zave = Context(options_of(context))
    if follow and zave.options.json:
        raise UsageError("a document has an end, --follow has none", resolution="use --seconds with -o json")
    lab = lab_of(zave, zave.instances.only_standing(env))
    machine = lab.machine(node)
    tell_simulated(zave, "the machine is simulated, and so is its console")
    written = lab.hypervisor.console(machine.domain, seconds=_FOR_EVER if follow else seconds)
    if not zave.options.json:
        for line in harmless_lines(written):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        return
    lines = list(harmless_lines(written))
    document = {
        "schema": "zave/console/v1",
        "instance": lab.instance,
        "node": machine.name,
        "rehearsal": zave.rehearsal,
        "truncated": len(lines) > _MOST_LINES,
        "lines": lines[-_MOST_LINES:],
    }
    show(document, render_console, settings=zave.settings)


def harmless_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """What was written, line by line, without anything that a terminal would act on."""
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield _harmless(line)
        if len(rest) > LINE_LIMIT:
            yield _harmless(rest)
            rest = b""
    if rest:
        yield _harmless(rest)


def _harmless(line: bytes) -> str:
    # boot loaders redraw a line by carriage returns: what was last on it is what a screen would show
    text = line.rstrip(b"\r")[:LINE_LIMIT].decode("utf-8", "replace").rpartition("\r")[2]
    return clean(text)
