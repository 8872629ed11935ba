"""The bills in the record: spans kept while an instance lives, charges when it has ended.

Spans are kept because a demo may end with nobody at the keyboard: the receipt then tells when, and the
spans what was there until then.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from zave.cost.catalogue import Catalogue
from zave.cost.meter import Span, ended, merged, meter, spans_of, total, usd_per_month
from zave.cost.report import Account, cost_document
from zave.cost.savings import BILLED, Life, Standing, lives_of, savings_document
from zave.ports import Item
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

_SPANS = "spans"
_ESTIMATE = "estimate"
_STANDING = "standing-usd-month"
# facts that belong to no instance; no instance can have this name
_ACCOUNT = ""


def keep_estimate(store: StateStore, instance: str, cost: Mapping[str, Any]) -> None:
    """Keep the `cost` of a `zave/plan/v1` document, to be compared with what is metered later."""
    store.put_fact(instance, _ESTIMATE, dict(cost))


def keep_spans(store: StateStore, record: InstanceRecord, items: Iterable[Item], *, now: datetime) -> None:
    """Keep what is there of an instance now, and the end of what is not there any more."""
    spans = _spans(store, record, items, now=now)
    store.put_fact(record.name, _SPANS, [span.document() for span in spans])


def settle(store: StateStore, record: InstanceRecord, *, at: datetime, run_id: str | None = None) -> float:
    """Turn the kept spans into charges that end `at` the latest; returns USD. To be repeated freely.

    The spans are kept: should something of the instance turn up later, the next call counts all again.
    """
    spans = ended(_kept(store, record), at=at)
    if not spans:
        return 0.0
    charges = meter(spans, now=at, catalogue=catalogue_of(store, record))
    costs = [charge.record() for charge in charges]
    store.record_costs(record.name, costs, since=record.created_at, run_id=run_id)
    store.put_fact(record.name, _SPANS, [span.document() for span in spans])
    return total(charges).expected


def catalogue_of(store: StateStore, record: InstanceRecord) -> Catalogue:
    """The catalogue of the instance's region; an empty one for a home lab, which is in none."""
    region = str(record.spec.get("aws", {}).get("region", ""))
    return Catalogue.load(region, refreshed=store.prices)


def is_billed(record: InstanceRecord) -> bool:
    """Whether the instance may have something that is billed by now: asking its platform is worth while."""
    return record.platform == BILLED and record.phase not in ("absent", "destroyed")


def cost_of(
    store: StateStore, record: InstanceRecord, items: Iterable[Item], *, now: datetime, rehearsal: bool
) -> dict[str, Any]:
    """The `zave/cost/v1` document of one instance; `items` is what exists, whoever owns it."""
    spans = _spans(store, record, items, now=now)
    recorded = [each for each in store.costs(record.name) if each.ends_at > record.created_at]
    # a settled bill stays what it was, whatever the catalogue says today
    settled = bool(recorded) and all(span.end for span in spans)
    account = Account(
        instance=record.name,
        environment=record.environment,
        rehearsal=rehearsal,
        created_at=record.created_at,
        expires_at=record.expires_at,
        spans=() if settled else spans,
        recorded=recorded if settled else (),
        estimate=store.fact(record.name, _ESTIMATE),
    )
    return cost_document(account, now=now, catalogue=catalogue_of(store, record))


def keep_standing(store: StateStore, items: Iterable[Item], *, region: str, now: datetime) -> None:
    """Keep what the account's standing parts cost a month: the ledger must not need the account."""
    catalogue = Catalogue.load(region, refreshed=store.prices)
    usd = sum(usd_per_month(item, catalogue, at=now) or 0.0 for item in items if item.standing)
    store.put_fact(_ACCOUNT, _STANDING, usd)


def savings_of(store: StateStore, *, now: datetime, rehearsal: bool) -> dict[str, Any]:
    """The `zave/savings/v1` document over all that is recorded."""
    lives: list[Life] = []
    months: dict[str, float] = {}
    for record in store.instances():
        kept = _kept(store, record)
        charges = meter(kept, now=now, catalogue=catalogue_of(store, record))
        lives += lives_of(
            record,
            runs=store.runs(record.name),
            receipts=store.receipts(record.name),
            costs=store.costs(record.name),
            spent=total(charges).expected if kept else None,
        )
        estimate = store.fact(record.name, _ESTIMATE)
        if estimate is not None:
            months[record.environment] = estimate["month"]["expected"]
    always = float(store.fact(_ACCOUNT, _STANDING) or 0.0)
    since = min((life.started_at for life in lives), default=now)
    return savings_document(
        lives, now=now, usd_month=months, standing=Standing(always, since), rehearsal=rehearsal
    )


def _kept(store: StateStore, record: InstanceRecord) -> list[Span]:
    """The spans kept of the instance's present life, or of its last one."""
    spans = (Span.from_document(each) for each in store.fact(record.name, _SPANS) or [])
    return [span for span in spans if span.end is None or span.end > record.created_at]


def _spans(store: StateStore, record: InstanceRecord, items: Iterable[Item], *, now: datetime) -> list[Span]:
    own = [item for item in items if item.owner == record.name and not item.standing]
    return merged(_kept(store, record), spans_of(own, since=record.created_at), now=now)
