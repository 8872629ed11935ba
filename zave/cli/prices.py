"""`zave prices`: the catalogue of prices, asked anew of AWS."""

import sys
from typing import Annotated

import typer

from zave.cli.completion import complete_environments
from zave.cli.context import Context
from zave.cli.lazy import VerbCommand, VerbGroup, examples
from zave.cli.options import options_of
from zave.errors import UsageError

EXAMPLES = (
    ("zave prices update", "each rate with its date, or named as not found"),
    ("zave prices update --for aws-demo -o json", "a zave/prices/v1 document"),
)

app = typer.Typer(
    cls=VerbGroup,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="The catalogue of prices that estimates and bills are reckoned with.",
)


@app.callback()
def group() -> None:
    """Hold the sub-commands: with one alone Typer would leave its name out."""


@app.command("update", cls=VerbCommand, epilog=examples(EXAMPLES))
def update(
    context: typer.Context,
    env: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="ENV",
            help="The environment whose region counts.",
            autocompletion=complete_environments,
        ),
    ] = "aws-demo",
) -> None:
    """Ask AWS's Price List, spot history and EKS for every rate; free of charge.

    What is found is kept for every later estimate and bill. What is not keeps
    the rate, the date and the source that it had.
    """
    zave = Context(options_of(context))
    if zave.rehearsal:
        raise UsageError("prices are asked of AWS itself", resolution="leave --rehearse out")
    from zave.clock import SystemClock
    from zave.cost.catalogue import load_document
    from zave.cost.update import refresh, update_document, write_catalogue
    from zave.spec.load import load_spec
    from zave.ui.document import show
    from zave.ui.prices import render_prices

    spec = load_spec(zave.project.environment_file(zave.checked(env) or env))
    if spec.platform != "aws-eks":
        raise UsageError(f"{env} is in no AWS region", resolution="name an environment of platform aws-eks")
    region, now, kept = spec.aws.region, SystemClock().now(), zave.directory.prices
    if not zave.options.quiet:
        sys.stderr.write(f"asking AWS for the prices of {region}\n")
    found = refresh(load_document(kept), zave.real.accounts.prices(region), region=region, now=now)
    zave.directory.prepare()
    write_catalogue(kept, found)
    show(update_document(found, region=region, at=now), render_prices, settings=zave.settings)
