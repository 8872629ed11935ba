"""Demos of the same account that are not on record here: a colleague's, or of a record that was lost."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from zave.clock import rfc3339
from zave.ports import PENDING, Item
from zave.ports.cloud import Cloud, Schedule


def strangers(
    cloud: Cloud,
    items: Iterable[Item],
    *,
    known: Collection[str],
    price: Callable[[Item], float | None],
    rehearsal: bool,
    schedules: Sequence[Schedule] | None = None,
) -> list[dict[str, Any]]:
    """The `unrecorded` of `zave/status/v1`, by name: whose `items` are of no instance that is `known`.

    `schedules` are all that the account has: an instance that was only armed has nothing else yet.
    Without them the account is asked for those of the strangers alone. `price` is USD an hour, None where
    it has none; `rehearsal` is a label.
    """
    own: dict[str, list[Item]] = {}
    for item in items:
        if item.owner is not None and item.owner not in known and item.state != PENDING:
            own.setdefault(item.owner, []).append(item)
    armed = {schedule.instance: schedule for schedule in schedules or ()}
    names = sorted({*own, *(name for name in armed if name not in known)})
    found: list[dict[str, Any]] = []
    for name in names:
        schedule = armed.get(name) if schedules is not None else cloud.switchboard.schedule(name)
        parts = own.get(name, [])
        found.append(
            {
                "name": name,
                "rehearsal": rehearsal,
                "environment": _tag(parts, "environment"),
                "owner": _tag(parts, "owner"),
                "since": _tag(parts, "creation"),
                "expires_at": None if schedule is None else rfc3339(schedule.first_fire_at),
                "usd_per_hour": round(sum(price(item) or 0.0 for item in parts), 4),
                "source": cloud.inventory.source,
            }
        )
    return found


def _tag(items: Sequence[Item], name: str) -> str | None:
    """What the instance's things say by that tag; None where none of them has it."""
    told = (item.attributes.get(f"tag:zave:{name}") for item in items)
    return next((value for value in told if value), None)
