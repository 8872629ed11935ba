"""`zave sweep`: what exists, recorded or not."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance, Yes
from zave.cli.options import options_of
from zave.errors import LeakError, PreconditionError
from zave.text import clean

if TYPE_CHECKING:
    from zave.lifecycle.inventory import Everywhere, Sweep

EXAMPLES = (
    ("zave sweep --rehearse", "everything of zave's: expected, standing, leaks"),
    ("zave sweep homelab --rehearse", "one instance's"),
    ("zave sweep --rehearse --delete", "delete the leaks, after a question"),
)


def command(
    context: typer.Context,
    env: Instance = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the leaks.")] = False,
    yes: Yes = False,
) -> None:
    """Find what exists by record and by name, independently of Terraform.

    Exit 6 when something stands that no live instance owns; else 5 when a place did not answer.
    """
    zave = Context(options_of(context))
    instance = zave.checked(env)
    from zave.cost.rates import Rates
    from zave.lifecycle.inventory import look_everywhere, sweep
    from zave.ui.advice import advice
    from zave.ui.document import show
    from zave.ui.inventory import render_inventory

    sources, images = zave.sources(instance), zave.images_here()
    rates = Rates(zave.clock.now(), zave.directory.prices)
    everywhere = look_everywhere(sources)
    found = sweep(zave.store, everywhere.items, images, instance=instance, armed=everywhere.armed)
    going = everywhere.deletable(found.leaks) if delete else []
    kept = len(found.leaks) - len(going)
    if delete and kept:
        sys.stderr.write(f"warning: {kept} roles stay: their demo may live where no account answered\n")
    if going:
        sys.stderr.write(
            render_inventory(found.document(instance=instance, everywhere=everywhere, rates=rates))
        )
        ask = zave.screens.asker(yes=yes)
        if ask is not None:
            ask(f"Delete {len(going)} leaked resources?")
        for item, reason in everywhere.delete(going):
            sys.stderr.write(f"warning: {item.type} {item.name} stays: {clean(reason)}\n")
        leaked, everywhere = found.leaks, look_everywhere(sources)
        found = sweep(
            zave.store,
            everywhere.items,
            images,
            instance=instance,
            armed=everywhere.armed,
            leaked=leaked,
        )
    document = found.document(instance=instance, everywhere=everywhere, rates=rates)
    for each in document["unanswered"]:
        each["resolution"] = advice(each["resolution"] or "", rehearsal=zave.rehearsal) or None
    show(document, render_inventory, settings=zave.settings)
    _end(found, everywhere, deleted=delete)


def _end(found: "Sweep", everywhere: "Everywhere", *, deleted: bool) -> None:
    """Raise for what is wrong: what costs money first, then what nobody could see."""
    silent = ", ".join(each.place for each in everywhere.unanswered)
    if found.leaks:
        raise LeakError(
            f"{len(found.leaks)} resources stand that no live instance owns",
            details=f"not looked at: {silent}" if silent else None,
            # the same advice again would be none
            resolution="each warning above says what keeps one; the last column, how to delete it by hand"
            if deleted
            else "zave sweep --delete removes them",
        )
    if silent:
        raise PreconditionError(
            f"not looked at: {silent}; what is there is not known",
            resolution="what is said of each above, then zave sweep again",
        )
