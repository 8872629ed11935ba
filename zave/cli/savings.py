"""`zave savings`: what the time to live saved against running all the time."""

import typer

from zave.cli.context import Context
from zave.cli.options import options_of

EXAMPLES = (
    ("zave savings --rehearse", "what ending on time saved, life by life"),
    ("zave savings --rehearse -o json", "a zave/savings/v1 document"),
)


def command(context: typer.Context) -> None:
    """Show what demos cost and what they would have cost had they run all the time."""
    zave = Context(options_of(context))
    from zave.cost.ledger import savings_of
    from zave.ui.document import show
    from zave.ui.savings import render_savings

    document = savings_of(zave.store, now=zave.clock.now(), rehearsal=zave.rehearsal)
    show(document, render_savings, settings=zave.settings)
