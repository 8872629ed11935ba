"""What has been spent: the inventory times the catalogue, with AWS's rounding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from zave.clock import from_rfc3339, rfc3339
from zave.cost.catalogue import MONTH_HOURS, NOTHING, Catalogue, Range, Rate
from zave.cost.parts import Part, parts
from zave.cost.types import BY_TIME, PER_USE, STORED, known
from zave.ports import Item
from zave.state.records import CostRecord

# AWS asks nothing for a KMS key that waits for its deletion (facts of 2026-11-23, not proved)
_ACCEPTED = "pending-deletion"
# the rate of what is kept, and how much of it is supposed
_SUPPOSED = {"aws_s3_bucket": ("s3.stored", "s3_gb"), "aws_ecr_repository": ("ecr.stored", "ecr_gb")}


@dataclass(frozen=True)
class Span:
    """One object and how long it was there; `end` is None while it is.

    `owner` is the instance it belongs to, None for nobody's.
    """

    type: str
    id: str
    start: datetime
    end: datetime | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None

    def document(self) -> dict[str, Any]:
        """The span as JSON can keep it."""
        return {
            "type": self.type,
            "id": self.id,
            "start": rfc3339(self.start),
            "end": None if self.end is None else rfc3339(self.end),
            "attributes": dict(self.attributes),
            "owner": self.owner,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Span":
        """What `document` wrote. Raises KeyError or ValueError for anything else."""
        end = document["end"]
        return cls(
            type=document["type"],
            id=document["id"],
            start=from_rfc3339(document["start"]),
            end=None if end is None else from_rfc3339(end),
            attributes=document["attributes"],
            owner=document["owner"],
        )


@dataclass(frozen=True)
class Charge:
    """One part of one object's bill, from `start` to `end`; `quantity` of the rate's unit all along."""

    span: Span
    title: str
    quantity: float
    rate: Rate
    start: datetime
    end: datetime
    usd: Range

    def record(self) -> CostRecord:
        """The charge as the record keeps it: what is expected, with the rate's date and source."""
        return CostRecord(
            item=self.title,
            unit=self.rate.unit,
            quantity=self.quantity,
            usd_rate=self.rate.usd.expected,
            rate_as_of=self.rate.as_of,
            rate_source=self.rate.source,
            starts_at=self.start,
            ends_at=self.end,
            usd=self.usd.expected,
        )


def spans_of(items: Iterable[Item], *, since: datetime) -> list[Span]:
    """The spans of what exists now. What does not tell its age is taken to be there `since` then."""
    return [
        Span(
            type=item.type,
            id=item.id,
            start=from_rfc3339(item.created_at) if item.created_at else since,
            attributes=item.attributes,
            owner=item.owner,
        )
        for item in items
        if item.state != _ACCEPTED
    ]


def ended(spans: Iterable[Span], *, at: datetime) -> list[Span]:
    """The spans with an end: `at` for those that have none yet."""
    return [span if span.end else replace(span, end=at) for span in spans]


def merged(kept: Iterable[Span], seen: Sequence[Span], *, now: datetime) -> list[Span]:
    """What was seen earlier and what is seen `now`: what is gone in between ended now at the latest."""
    here = {(span.type, span.id) for span in seen}
    gone = [span for span in kept if (span.type, span.id) not in here]
    return [*ended(gone, at=now), *seen]


def meter(spans: Iterable[Span], *, now: datetime, catalogue: Catalogue) -> list[Charge]:
    """The charges until `now`, for everything that is billed by time and has a rate.

    Never negative; never less for a later `now`, however the clocks of zave and AWS differ.
    """
    charges = []
    for span in spans:
        end = now if span.end is None else min(span.end, now)
        if end < span.start:
            continue
        for part in parts(span.type, span.attributes, catalogue, begun=span.start):
            if part.rate is not None and (part.since is None or part.since < end):
                start = max(span.start, part.since) if part.since else span.start
                charges.append(
                    Charge(span, part.title, part.quantity, part.rate, start, end, part.usd(span.start, end))
                )
    return charges


def total(charges: Iterable[Charge]) -> Range:
    """USD of all charges."""
    return sum((charge.usd for charge in charges), NOTHING)


def totals(charges: Iterable[Charge]) -> dict[str | None, Range]:
    """USD by owner."""
    found: dict[str | None, Range] = {}
    for charge in charges:
        found[charge.span.owner] = found.get(charge.span.owner, NOTHING) + charge.usd
    return found


def hourly(spans: Iterable[Span], *, now: datetime, catalogue: Catalogue) -> Range:
    """USD an hour of what is there now."""
    return sum(
        (
            _hour(part, now)
            for span in spans
            if span.end is None
            for part in parts(span.type, span.attributes, catalogue, begun=span.start)
        ),
        NOTHING,
    )


def usd_per_hour(item: Item, catalogue: Catalogue, *, at: datetime) -> float | None:
    """What one thing costs an hour, unused, from `at` on; None where that is not known.

    0.0 for what is free, for what is billed by use alone, and for a key that waits for its deletion.
    """
    if item.state == _ACCEPTED:
        return 0.0
    begun = from_rfc3339(item.created_at) if item.created_at else at
    found = parts(item.type, item.attributes, catalogue, begun=begun)
    priced = [part for part in found if part.rate is not None]
    if item.type in BY_TIME and found and not priced:
        return None
    if item.type in STORED or not known(item.type):
        return None
    return sum((_hour(part, at) for part in priced), NOTHING).expected


def leak_rate(item: Item, catalogue: Catalogue, *, at: datetime) -> float | None:
    """USD a day of something that was left behind; None where that is not known."""
    hour = usd_per_hour(item, catalogue, at=at)
    return None if hour is None else round(hour * 24, 4)


def usd_per_month(item: Item, catalogue: Catalogue, *, at: datetime) -> float | None:
    """What a standing thing costs a month; buckets and repositories with what is supposed to be in them."""
    supposed = _SUPPOSED.get(item.type)
    if supposed is None:
        hour = usd_per_hour(item, catalogue, at=at)
        return None if hour is None else hour * MONTH_HOURS
    rate = catalogue.rate(supposed[0])
    return None if rate is None else rate.usd.expected * catalogue.assumption(supposed[1])


def unpriced(spans: Sequence[Span], catalogue: Catalogue) -> list[str]:
    """What is billed by time and has no rate, or is not known to zave at all; each named once."""
    names = [
        f"{part.title}: no rate for {catalogue.region}"
        for span in spans
        for part in parts(span.type, span.attributes, catalogue, begun=span.start)
        if part.rate is None
    ]
    names += [f"{span.type}: zave has no price for this type" for span in spans if _is_strange(span.type)]
    return sorted(set(names))


def unmetered(spans: Sequence[Span]) -> list[str]:
    """What is billed by use, which an inventory does not show; each type named once."""
    types = {span.type for span in spans}
    return sorted(
        f"{found}: {use}" for found in types if (use := STORED.get(found) or PER_USE.get(found)) is not None
    )


def _hour(part: Part, now: datetime) -> Range:
    if part.rate is None or (part.since is not None and part.since > now):
        return NOTHING
    return part.rate.per_hour() * part.quantity


def _is_strange(resource_type: str) -> bool:
    return resource_type.startswith("aws_") and not known(resource_type)
