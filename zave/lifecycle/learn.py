"""What happened while nobody was looking: the switch's receipts in the bucket, brought into the record."""

import dataclasses
import json
from datetime import datetime
from typing import Any

from zave.aws.keys import receipt_prefix
from zave.aws.lives import lives_elsewhere
from zave.aws.sweep import belongs
from zave.clock import from_rfc3339, rfc3339
from zave.cost.ledger import settle
from zave.errors import PreconditionError
from zave.lifecycle.inventory import GOING
from zave.ports import PENDING
from zave.ports.cloud import Cloud
from zave.receipt import receipt_digest
from zave.state.records import STANDING, InstanceRecord, StepEnd
from zave.state.store import StateStore
from zave.steps.infra import SEAL

_MOST_NAMED = 5


def learn(store: StateStore, cloud: Cloud, record: InstanceRecord) -> tuple[InstanceRecord, tuple[str, ...]]:
    """The record as the account says it should be, stored where it had to change; warnings for people.

    A receipt of this life without leaks, no schedule any more, and nothing of it there: the switch
    destroyed the instance. A Terraform that slept over the end may have made things after the receipt.
    """
    if record.phase not in STANDING:
        return record, ()
    receipts = _receipts(cloud, record)
    known = {r.document.get("sha256") for r in store.receipts(record.name)}
    fresh = [r for r in receipts if r["sha256"] not in known]
    if fresh:
        run = store.begin_run(instance=record.name, command="learn", arguments=[])
        for document in fresh:
            store.add_receipt(record.name, document, run.id)
        store.finish_run(run.id, outcome="done", exit_code=0, seconds=0.0, virtual_seconds=0.0, error=None)
    gone = receipts and not receipts[-1]["leaks"] and cloud.switchboard.schedule(record.name) is None
    if not gone:
        return record, ()
    at = from_rfc3339(receipts[-1]["at"])
    items = cloud.inventory.items()
    elsewhere = lives_elsewhere(items, record.name, creation=rfc3339(record.created_at))
    left = [i for i in items if belongs(i, record.name, baseline=elsewhere) and i.state != PENDING]
    if not left:
        return _destroyed(store, record, at=at), ()
    if fresh:
        # the state that it sealed was put away; what is there now is a later one
        store.delete_fact(record.name, SEAL)
    named = ", ".join(f"{item.type} {item.name}" for item in left[:_MOST_NAMED])
    return record, (
        f"the switch destroyed {record.name} at {rfc3339(at)}, and {len(left)} things of it stand again, "
        f"without a switch: {named}; zave down {record.name} takes them down",
    )


def _destroyed(store: StateStore, record: InstanceRecord, *, at: datetime) -> InstanceRecord:
    settle(store, record, at=at)
    after = dataclasses.replace(record, phase="destroyed", outputs={})
    store.save_instance(after)
    mark_undone(store, record.name, reason="by the switch")
    # the state that this seal belongs to was put away with what it described
    for key in (SEAL, GOING):
        store.delete_fact(record.name, key)
    return after


def mark_undone(store: StateStore, instance: str, *, reason: str) -> None:
    """Record that nothing of the instance stands any more, whoever saw to that."""
    resources = [r for r in store.resources(instance) if r.state != "gone"]
    store.mark_resources(instance, [dataclasses.replace(r, state="gone") for r in resources])
    for name, step in store.steps(instance).items():
        if step.state != "undone":
            store.begin_step(instance, name, run_id=step.run_id, fingerprint=None, verb="undo")
            store.finish_step(instance, name, StepEnd("undone", reason=reason))


def _receipts(cloud: Cloud, record: InstanceRecord) -> list[dict[str, Any]]:
    """Whole receipts of this life of the instance, oldest first. What was altered counts for nothing."""
    try:
        bucket = cloud.bucket
    except PreconditionError:
        return []
    found: list[dict[str, Any]] = []
    for stored in bucket.list(receipt_prefix(record.name)):
        content = bucket.get(stored.key)
        try:
            document: dict[str, Any] = json.loads(content or b"")
            whole = document["sha256"] == receipt_digest(document)
            if whole and from_rfc3339(document["at"]) >= record.created_at:
                found.append(document)
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda document: str(document["at"]))
