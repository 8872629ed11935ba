"""What a teardown in the account came to, in the form of a receipt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zave.aws.sweep import Swept
from zave.errors import LeakError
from zave.ports import Inventory, Item
from zave.receipt import Settlement, leaking_cost


def settlement(
    swept: Swept,
    going: Sequence[Mapping[str, str]],
    inventory: Inventory,
    *,
    price: Callable[[Item], float | None],
) -> Settlement:
    """The receipt's three lists. `going` is what was to be deleted; `price` is USD an hour, if known."""
    kept = {(item.type, item.id) for item in swept.accepted}
    kept |= {(refusal.item.type, refusal.item.id) for refusal in swept.left}
    gone = {(thing["type"], thing["id"]): dict(thing) for thing in going}
    gone |= {(item.type, item.id): _document(item) for item in swept.deleted}
    return Settlement(
        deleted=[thing for key, thing in gone.items() if key not in kept],
        accepted=[accepted_document(item) for item in swept.accepted],
        leaks=[
            leak_document(refusal.item, inventory, usd_per_hour=price(refusal.item)) for refusal in swept.left
        ],
    )


def accepted_document(item: Item) -> dict[str, Any]:
    """One thing that goes by itself."""
    return {**_document(item), "reason": "pending deletion", "until": item.attributes.get("until")}


def leak_document(item: Item, inventory: Inventory, *, usd_per_hour: float | None) -> dict[str, Any]:
    """One thing that should be gone: what it costs, if that is known, and how a person deletes it."""
    return {
        **_document(item),
        "usd_per_day": None if usd_per_hour is None else round(usd_per_hour * 24, 4),
        "how_to_delete": inventory.how_to_delete(item),
    }


def leak_error(swept: Swept, receipt: Mapping[str, Any], inventory: Inventory) -> LeakError:
    """The error (exit 6) for what still stands."""
    lines = [
        f"{left.item.type} {left.item.name}: {left.reason}\n  {inventory.how_to_delete(left.item)}"
        for left in swept.left
    ]
    return LeakError(
        f"{len(swept.left)} of {receipt['instance']} still stand after the teardown "
        f"({leaking_cost(receipt)})",
        details="\n".join(lines),
        where=inventory.source,
        resolution="the schedule stays and fires again; or delete by hand what is listed",
    )


def _document(item: Item) -> dict[str, str]:
    return {"type": item.type, "id": item.id, "name": item.name}
