"""`zave`: the root of the command line."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from zave.cli.boundary import guarded
from zave.cli.lazy import LazyGroup, examples
from zave.cli.options import Given

EXAMPLES = (
    ("zave up homelab --rehearse", "the whole life, offline and free"),
    ("zave status", "what stands, since when, until when"),
    ("zave down homelab --rehearse", "destroy it and prove it"),
    ("zave up --help", "each verb teaches by example"),
)

HELP = """One platform in two places: a home lab that costs nothing and an AWS demo
that cannot outlive its TTL.

Exit codes: 0 done, 1 failed, 2 usage, 3 differences, 4 locked, 5 something
is missing, 6 a leak, 7 declined, 130 interrupted."""


def _show_version(value: bool) -> None:
    if value:
        from zave import __version__

        typer.echo(f"zave {__version__}")
        raise typer.Exit


app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(cls=LazyGroup, help=HELP, epilog=examples(EXAMPLES))
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show zave's version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Hold the options of the root; the verbs are in `lazy.VERBS`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `zave` and return its exit status (`zave.errors.ExitCode`).

    Without `arguments` it is the program: it ends here, with that status.
    """
    line = list(sys.argv[1:] if arguments is None else arguments)
    given = Given()
    # `zave` alone is a question, not a mistake
    line = line or ["--help"]

    def run() -> object:
        command = typer.main.get_command(app)
        try:
            return command.main(line, prog_name="zave", standalone_mode=False, obj=given)
        finally:
            if given.options is not None:
                given.options.closing.close()

    status = guarded(run, line=line, given=given)
    if arguments is None:
        # all is closed and flushed: to take the interpreter apart as well would cost 10 to 30 ms
        os._exit(status)
    return status
