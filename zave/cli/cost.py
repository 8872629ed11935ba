"""`zave cost`: estimated, spent so far, to be expected at expiry."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance, Yes
from zave.cli.options import options_of
from zave.errors import UsageError

if TYPE_CHECKING:
    from zave.state.records import InstanceRecord

EXAMPLES = (
    ("zave cost aws-demo --rehearse", "spent so far against the estimate, line by line"),
    ("zave cost aws-demo --rehearse -o json", "a zave/cost/v1 document"),
    ("zave cost aws-demo --actual", "what AWS has billed as well: 0.01 USD"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    actual: Annotated[
        bool, typer.Option("--actual", help="Ask Cost Explorer what was billed: 0.01 USD a request.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Show what an instance has cost so far, costs an hour, and will have cost at its expiry.

    --actual also asks AWS what it has billed, which lags by a day, costs 0.01 USD
    and needs the tag zave:instance activated as a cost allocation tag.
    """
    zave = Context(options_of(context))
    instance = zave.instances.only_standing(env)
    record = zave.instances.record(instance)
    if actual:
        _require_a_bill(zave, record)  # before anybody is asked
    from zave.cost.ledger import cost_of, is_billed
    from zave.ui.cost import render_cost
    from zave.ui.document import show

    # a home lab and a demo that is gone have a bill without asking anybody
    billed = is_billed(record)
    items = zave.recorded_tools(record).inventory.items() if billed else ()
    document = cost_of(zave.store, record, items, now=zave.clock.now(), rehearsal=zave.rehearsal)
    if actual:
        document["actual"] = _actual(zave, record, ask=zave.screens.asker(yes=yes))
    show(document, render_cost, settings=zave.settings)


def _require_a_bill(zave: Context, record: "InstanceRecord") -> None:
    """Raise UsageError where nobody bills anything."""
    if zave.rehearsal:
        brief = f"a rehearsal has no bill: nobody bills {record.name}"
    elif record.platform != "aws-eks":
        brief = f"a home lab has no bill: nobody bills {record.name}"
    else:
        return
    raise UsageError(brief, resolution="leave --actual out: it is for demos in a real AWS account")


def _actual(zave: Context, record: "InstanceRecord", *, ask: Callable[[str], None] | None) -> dict[str, Any]:
    """What was billed since the instance's creation."""
    from zave.aws.live.billing import USD_PER_REQUEST, billed

    if ask is not None:
        ask(f"Ask Cost Explorer? AWS charges {USD_PER_REQUEST:.2f} USD for each request.")
    api = zave.real.accounts.api(str(record.spec["aws"]["region"]))
    found = billed(api, instance=record.name, since=record.created_at, until=zave.clock.now())
    return found.document()
