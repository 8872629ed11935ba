"""The lines of an estimate: a time to live and a month of 730 hours, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from zave.cost.catalogue import MONTH_HOURS, NOTHING, Range, Rate
from zave.cost.parts import Part

# the switch's promise: everything is gone so long after expiry (design, state machine of the switch)
TEARDOWN = timedelta(minutes=45)


@dataclass(frozen=True)
class Window:
    """From the arming of the switch on: the time to live, and a month for comparison."""

    at: datetime
    ttl_hours: float

    @property
    def expiry(self) -> datetime:
        """When the time to live is over."""
        return self.at + timedelta(hours=self.ttl_hours)

    @property
    def month_end(self) -> datetime:
        """The end of 730 hours."""
        return self.at + timedelta(hours=MONTH_HOURS)


@dataclass(frozen=True)
class Line:
    """One line: `quantity` of `unit` at `rate`, and what that comes to in USD.

    `quantity` is that of the time to live, as expected; it is counted by the hour, by the month, or
    once, as the unit says.
    """

    title: str
    quantity: float
    rate: Rate
    ttl: Range
    month: Range

    def __add__(self, other: "Line") -> "Line":
        """More of the same item."""
        return replace(
            self,
            quantity=self.quantity + other.quantity,
            ttl=self.ttl + other.ttl,
            month=self.month + other.month,
        )

    def document(self, *, ttl_hours: float) -> dict[str, Any]:
        """The line as `zave/plan/v1` has it."""
        return {
            "item": self.title,
            "quantity": round(self.quantity, 4),
            "unit": self.rate.unit,
            "rate": self.rate.usd.expected,
            "as_of": self.rate.as_of,
            "source": self.rate.source,
            "hours_ttl": ttl_hours,
            "usd_ttl": round(self.ttl.expected, 4),
            "usd_month": round(self.month.expected, 4),
        }


def timed(part: Part, quantity: Range, window: Window) -> Line | None:
    """A line for what is billed while it exists; None where there is no rate or it costs nothing yet.

    The range of the quantity meets the range of the rate; `high` includes the time of the teardown.
    """
    if part.rate is None:
        return None
    until = part.usd(window.at, window.expiry)
    late = part.usd(window.at, window.expiry + TEARDOWN)
    ttl = quantity * Range(until.low, until.expected, late.high)
    month = quantity * part.usd(window.at, window.month_end)
    if month == NOTHING and ttl == NOTHING and part.since is not None:
        return None
    return Line(part.title, part.quantity * quantity.expected, part.rate, ttl, month)


def used(title: str, rate: Rate, *, ttl: float, month: float) -> Line:
    """A line for what is billed by amount: GB, minutes."""
    return Line(title, ttl, rate, rate.usd * ttl, rate.usd * month)


def merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines of one item at one rate become one, in the order of their first appearance."""
    found: dict[tuple[str, Rate], Line] = {}
    for line in lines:
        key = (line.title, line.rate)
        found[key] = found[key] + line if key in found else line
    return tuple(found.values())
