"""The receipt: the signed-off inventory after `down`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Settlement:
    """What a teardown came to: what is gone (type, id, name), what still stands, and what goes by itself.

    `accepted` entries say why (`reason`) and `until` when, such as a KMS key that is pending deletion.
    """

    deleted: Sequence[dict[str, Any]]
    leaks: Sequence[dict[str, Any]]
    accepted: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Subject:
    """What a receipt is about, and who destroyed it: `zave down`, or the switch's destroyer."""

    instance: str
    environment: str
    rehearsal: bool
    destroyed_by: str = "zave down"


def receipt(settlement: Settlement, subject: Subject, *, at: str, sources: Sequence[str]) -> dict[str, Any]:
    """The `zave/receipt/v1` document, hashed over its canonical JSON without the hash."""
    document: dict[str, Any] = {
        "schema": "zave/receipt/v1",
        "instance": subject.instance,
        "environment": subject.environment,
        "rehearsal": subject.rehearsal,
        "at": at,
        "destroyed_by": subject.destroyed_by,
        "deleted": list(settlement.deleted),
        "accepted": list(settlement.accepted),
        "leaks": list(settlement.leaks),
        "usd_per_day_leaking": round(sum(leak["usd_per_day"] or 0.0 for leak in settlement.leaks), 4),
        "inventory_sources": list(sources),
    }
    return {**document, "sha256": receipt_digest(document)}


def receipt_digest(document: dict[str, Any]) -> str:
    """The SHA-256 that a receipt carries: of everything in it but the hash itself."""
    body = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def leaking_cost(document: Mapping[str, Any]) -> str:
    """What the leaks of a receipt cost, in words; a price that is not known is not 0."""
    unknown = sum(leak["usd_per_day"] is None for leak in document["leaks"])
    known = f"${document['usd_per_day_leaking']:.2f} a day"
    if not unknown:
        return known
    without = f"{unknown} of them without a known price"
    return without if unknown == len(document["leaks"]) else f"at least {known}, {without}"
