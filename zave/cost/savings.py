"""What the time to live saved against running all the time: the `zave/savings/v1` document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from zave.clock import rfc3339
from zave.cost.catalogue import MONTH_HOURS
from zave.state.records import CostRecord, InstanceRecord, ReceiptRecord, RunRecord

# the commands that bring an instance to life
_BEGINNINGS = frozenset({"up", "demo"})
# the platform that somebody bills
BILLED = "aws-eks"


@dataclass(frozen=True)
class Life:
    """One life of an instance, from its first `up` to the receipt that found nothing of it.

    `ended_at` is None while it stands. `usd` is what it cost so far, None where nobody metered it.
    """

    instance: str
    environment: str
    started_at: datetime
    ended_at: datetime | None
    usd: float | None

    def hours(self, now: datetime) -> float:
        """How long it has lived."""
        return max((self.ended_at or now) - self.started_at, timedelta(0)) / timedelta(hours=1)


@dataclass(frozen=True)
class Standing:
    """What is always there: USD a month, and since when."""

    usd_month: float
    since: datetime


def saved(*, months: float, usd_month: float, usd_spent: float, standing_usd_month: float) -> float:
    """USD saved: that many months of running all the time, less the lives, less what is always there."""
    return months * usd_month - usd_spent - months * standing_usd_month


def lives_of(
    instance: InstanceRecord,
    *,
    runs: Iterable[RunRecord],
    receipts: Iterable[ReceiptRecord],
    costs: Sequence[CostRecord],
    spent: float | None = None,
) -> list[Life]:
    """The lives of one instance by its record; `spent` is what the standing one cost so far.

    A receipt with leaks ends nothing. An instance that costs nothing (a home lab) has no lives here.
    """
    if instance.platform != BILLED:
        return []
    ends = sorted(receipt.summary.at for receipt in receipts if receipt.summary.leaks == 0)
    starts = sorted(
        run.started_at for run in runs if run.command in _BEGINNINGS and run.outcome != "declined"
    )
    lives: list[Life] = []
    for start in starts:
        if lives and (lives[-1].ended_at is None or start < lives[-1].ended_at):
            # the same command again, over a life that goes on
            continue
        end = next((moment for moment in ends if moment >= start), None)
        lives.append(
            Life(
                instance=instance.name,
                environment=instance.environment,
                started_at=start,
                ended_at=end,
                usd=spent if end is None else _recorded(costs, start, end),
            )
        )
    return lives


def savings_document(
    lives: Sequence[Life],
    *,
    now: datetime,
    usd_month: Mapping[str, float],
    standing: Standing,
    rehearsal: bool,
) -> dict[str, Any]:
    """The document. `usd_month`: what each environment is estimated to cost for 730 hours.

    Each environment is compared with one copy of it that runs from its first life on. Without an
    estimate its own lives tell what an hour costs; without either it is named as unpriced.
    """
    environments, unpriced = [], []
    for name in dict.fromkeys(life.environment for life in lives):
        own = [life for life in lives if life.environment == name]
        found = _environment(name, own, now=now, usd_month=usd_month.get(name))
        if found is None:
            unpriced.append(f"{name}: no life of it was metered and no estimate was kept")
        else:
            environments.append(found)
    unpriced += [
        f"{life.instance} from {rfc3339(life.started_at)}: not metered"
        for life in lives
        if life.usd is None and any(found["environment"] == life.environment for found in environments)
    ]
    always = standing.usd_month * _months(standing.since, now)
    full, spent = (sum(found[key] for found in environments) for key in ("usd_always_on", "usd_spent"))
    return {
        "schema": "zave/savings/v1",
        "rehearsal": rehearsal,
        "currency": "USD",
        "at": rfc3339(now),
        "since": rfc3339(min(life.started_at for life in lives)) if lives else None,
        "environments": environments,
        "lives": [_life(life, now) for life in lives],
        "standing": {"usd_month": round(standing.usd_month, 4), "usd": round(always, 4)},
        "usd_always_on": round(full, 4),
        "usd_spent": round(spent, 4),
        "usd_saved": round(full - spent - always, 4),
        "unpriced": unpriced,
    }


def _environment(
    name: str, lives: Sequence[Life], *, now: datetime, usd_month: float | None
) -> dict[str, Any] | None:
    since = min(life.started_at for life in lives)
    metered = [life for life in lives if life.usd is not None]
    spent = sum(life.usd for life in metered if life.usd is not None)
    hours = sum(life.hours(now) for life in metered)
    if usd_month is None:
        if not hours:
            return None
        usd_month = spent / hours * MONTH_HOURS
    months = _months(since, now)
    return {
        "environment": name,
        "since": rfc3339(since),
        "lives": len(lives),
        "hours": round(months * MONTH_HOURS, 4),
        "hours_up": round(sum(life.hours(now) for life in lives), 4),
        "usd_month": round(usd_month, 4),
        "usd_always_on": round(months * usd_month, 4),
        "usd_spent": round(spent, 4),
        "usd_saved": round(
            saved(months=months, usd_month=usd_month, usd_spent=spent, standing_usd_month=0.0), 4
        ),
    }


def _life(life: Life, now: datetime) -> dict[str, Any]:
    return {
        "instance": life.instance,
        "environment": life.environment,
        "started_at": rfc3339(life.started_at),
        "ended_at": None if life.ended_at is None else rfc3339(life.ended_at),
        "hours": round(life.hours(now), 4),
        "usd": None if life.usd is None else round(life.usd, 4),
    }


def _recorded(costs: Sequence[CostRecord], start: datetime, end: datetime) -> float | None:
    """What was recorded of one life: the charges that overlap it; None where there is none."""
    own = [record.usd for record in costs if record.starts_at <= end and record.ends_at > start]
    return sum(own) if own else None


def _months(since: datetime, now: datetime) -> float:
    return max(now - since, timedelta(0)) / timedelta(hours=MONTH_HOURS)
