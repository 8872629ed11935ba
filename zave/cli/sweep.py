"""`zave sweep`: what exists, recorded or not."""

import sys
from typing import Annotated

import typer

from zave.cli.context import Context
from zave.cli.lifecycle_options import Instance, Yes
from zave.cli.options import options_of
from zave.errors import LeakError

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

    Exit 6 when something stands that no live instance owns.
    """
    zave = Context(options_of(context))
    instance = zave.checked(env)
    from zave.lifecycle.inventory import Everything, delete_all, sweep
    from zave.ui.document import show
    from zave.ui.inventory import render_inventory

    inventory, images = Everything(zave.inventories()), zave.images().list()
    armed = zave.armed()
    found = sweep(zave.store, inventory.items(), images, instance=instance, armed=armed)
    if delete and found.leaks:
        sys.stderr.write(render_inventory(found.document(instance=instance, inventory=inventory)))
        ask = zave.asker(yes=yes)
        if ask is not None:
            ask(f"Delete {len(found.leaks)} leaked resources?")
        delete_all(found.leaks, inventory)
        found = sweep(zave.store, inventory.items(), images, instance=instance, armed=armed)
    document = found.document(instance=instance, inventory=inventory)
    show(document, render_inventory, settings=zave.settings)
    if found.leaks:
        raise LeakError(
            f"{len(found.leaks)} resources stand that no live instance owns",
            resolution="zave sweep --delete removes them",
        )
