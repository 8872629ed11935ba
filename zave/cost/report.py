"""The `zave/cost/v1` document: estimated, spent so far, to be expected at expiry."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zave.clock import rfc3339
from zave.cost.catalogue import Catalogue, Range
from zave.cost.meter import Charge, Span, hourly, meter, total, unmetered, unpriced
from zave.state.records import CostRecord

# traffic leaves no trace in an inventory
_TRAFFIC = "traffic: GB through NAT, between zones and to the internet"

_Key = tuple[str, str, float]


@dataclass(frozen=True)
class Account:
    """What is known of one instance's life: its spans, and what was recorded of it (not of the same).

    `estimate` is the `cost` of its `zave/plan/v1` document, None where none was kept.
    """

    instance: str
    environment: str
    rehearsal: bool
    created_at: datetime
    expires_at: datetime | None
    spans: Sequence[Span] = ()
    recorded: Sequence[CostRecord] = ()
    estimate: Mapping[str, Any] | None = field(default=None, repr=False)


def cost_document(account: Account, *, now: datetime, catalogue: Catalogue) -> dict[str, Any]:
    """The document: recorded charges and those of the spans, added up."""
    before = Range.of(sum(record.usd for record in account.recorded))
    charges = meter(account.spans, now=now, catalogue=catalogue)
    expiry = account.expires_at
    # past its expiry everything still standing goes on costing: the bill is that of now
    final = meter(account.spans, now=max(now, expiry), catalogue=catalogue) if expiry else None
    return {
        "schema": "zave/cost/v1",
        "instance": account.instance,
        "environment": account.environment,
        "rehearsal": account.rehearsal,
        "currency": "USD",
        "region": catalogue.region or None,
        "at": rfc3339(now),
        "created_at": rfc3339(account.created_at),
        "expires_at": None if expiry is None else rfc3339(expiry),
        "usd_per_hour": hourly(account.spans, now=now, catalogue=catalogue).document(),
        "spent": (before + total(charges)).document(),
        "at_expiry": None if final is None else (before + total(final)).document(),
        "estimate": _estimated(account.estimate),
        "lines": _lines(charges, final or charges, account.recorded),
        "unpriced": unpriced(account.spans, catalogue),
        "unmetered": [*unmetered(account.spans), *([_TRAFFIC] if catalogue.region else [])],
    }


def _estimated(cost: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {name: cost["ttl"][name] for name in ("hours", "low", "expected", "high")}


def _lines(
    charges: Sequence[Charge], final: Sequence[Charge], recorded: Iterable[CostRecord]
) -> list[dict[str, Any]]:
    """One line for each item at one rate, the dearest first."""
    lines: dict[_Key, dict[str, Any]] = {}
    for record in recorded:
        line = lines.setdefault((record.item, record.unit, record.usd_rate), _line(record))
        line["usd"] += record.usd
        line["usd_at_expiry"] += record.usd
    for column, found in (("usd", charges), ("usd_at_expiry", final)):
        for charge in found:
            record = charge.record()
            line = lines.setdefault((record.item, record.unit, record.usd_rate), _line(record))
            line[column] += record.usd
            if column == "usd" and charge.span.end is None:
                line["quantity"] += charge.quantity
                line["usd_per_hour"] += (charge.rate.per_hour() * charge.quantity).expected
    ordered = sorted(lines.values(), key=lambda line: (-line["usd"], line["item"]))
    return [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
        for line in ordered
    ]


def _line(record: CostRecord) -> dict[str, Any]:
    return {
        "item": record.item,
        "quantity": 0.0,
        "unit": record.unit,
        "rate": record.usd_rate,
        "as_of": record.rate_as_of,
        "source": record.rate_source,
        "usd_per_hour": 0.0,
        "usd": 0.0,
        "usd_at_expiry": 0.0,
    }
