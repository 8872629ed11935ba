"""`zave cost`: estimated, spent so far, to be expected at expiry."""

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance
from zave.cli.options import options_of

EXAMPLES = (
    ("zave cost aws-demo --rehearse", "spent so far against the estimate, line by line"),
    ("zave cost aws-demo --rehearse -o json", "a zave/cost/v1 document"),
)


def command(context: typer.Context, env: Instance = None) -> None:
    """Show what an instance has cost so far, costs an hour, and will have cost at its expiry."""
    zave = Context(options_of(context))
    instance = zave.only_standing(env)
    record = zave.record(instance)
    from zave.cost.ledger import cost_of, is_billed
    from zave.ui.cost import render_cost
    from zave.ui.document import show

    # a home lab and a demo that is gone have a bill without asking anybody
    billed = is_billed(record)
    items = zave.recorded_tools(record).inventory.items() if billed else ()
    document = cost_of(zave.store, record, items, now=zave.clock.now(), rehearsal=zave.rehearsal)
    show(document, render_cost, settings=zave.settings)
