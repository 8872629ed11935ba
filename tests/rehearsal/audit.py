"""Reads the log of the simulated world: what cost money when, and whether a proven switch covered it."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from zave.cost.types import BILLABLE
from zave.rehearsal.world import WorldEvent

_ENDS = frozenset({"delete", "remove", "lose"})
# made anew in each life: ids, and what is made of them
_ID = re.compile(r"[0-9a-fA-F]{8,}")


@dataclass(frozen=True)
class Span:
    """How long a thing existed. `ended_at` is None while it does; a key that is pending has ended."""

    type: str
    name: str
    key: str
    began_at: datetime
    ended_at: datetime | None


def billable_spans(log: Iterable[WorldEvent], *, standing: Collection[str]) -> list[Span]:
    """The life of everything that costs, but for the `standing` parts of the account (by key)."""
    begun: dict[str, WorldEvent] = {}
    ended: dict[str, datetime] = {}
    for event in log:
        if event.key in standing or event.type not in BILLABLE:
            continue
        if event.verb == "create":
            begun[event.key] = event
        elif event.verb in _ENDS:
            ended.setdefault(event.key, event.virtual_at)
    return [
        Span(event.type, event.name, key, event.virtual_at, ended.get(key)) for key, event in begun.items()
    ]


def uncovered(log: Sequence[WorldEvent], *, standing: Collection[str]) -> list[str]:
    """Every moment at which something that costs, or anything at the switch's end, had no proven switch.

    Read event by event: a billable thing may be made only while a schedule stands that a destroyer's
    check has proven, and a schedule may go only when nothing is left.
    """
    armed = checked = False
    alive: dict[str, WorldEvent] = {}
    found: list[str] = []
    for event in log:
        match event.verb:
            case "schedule":
                armed = True
            case "build" if event.detail == "check: succeeded":
                # a new switch is proven before it is set, one that stands as it stands
                checked = True
            case "unschedule":
                armed = checked = False
                found += [f"{_told(event)}, but {thing.type} {thing.name} stood" for thing in alive.values()]
            case "create" if event.key not in standing:
                alive[event.key] = event
                if event.type in BILLABLE and not (armed and checked):
                    found.append(f"{_told(event)} with no proven switch")
            case verb if verb in _ENDS:
                alive.pop(event.key, None)
    return found


def crowds(log: Iterable[WorldEvent], *, standing: Collection[str]) -> Counter[str]:
    """How many there were at most, at one moment, of what has the same title."""
    alive: dict[str, str] = {}
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for event in log:
        if event.verb == "create" and event.key not in standing:
            title = title_of(event.type, event.name)
            alive[event.key] = title
            now[title] += 1
            most[title] = max(most[title], now[title])
        elif event.verb in _ENDS and event.key in alive:
            now[alive.pop(event.key)] -= 1
    return most


def title_of(type_: str, name: str) -> str:
    """What a thing is called in every life: its name without the ids in it."""
    return f"{type_} {_ID.sub('*', name)}"


def processes(log: Iterable[WorldEvent]) -> Iterator[int]:
    """The processes that did something, in the order of the log."""
    yield from dict.fromkeys(event.pid for event in log)


def _told(event: WorldEvent) -> str:
    return f"{event.virtual_at.isoformat()} (event {event.seq}): {event.verb} {event.type} {event.name}"
