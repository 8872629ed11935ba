"""The lock on Terraform's state in the bucket: waited for, and broken only when no apply can hold it."""

import json
from collections.abc import Callable

from zave.aws.keys import broken_lock_key, state_lock_key
from zave.clock import Clock
from zave.ports.cloud import Bucket

# how often a lock is looked at, in seconds of the world's time
_POLL = 30.0
_LOCK_FIELDS = ("ID", "Operation", "Who", "Created")


def wait_for_state_lock(
    bucket: Bucket,
    clock: Clock,
    *,
    instance: str,
    longest_apply: float,
    say: Callable[[str], None],
    beat: Callable[[], None],
) -> None:
    """Let a Terraform finish that may still write; break a lock that is older than any apply.

    What was broken is kept as evidence. `longest_apply` in seconds; `beat` is called while waiting.
    """
    key = state_lock_key(instance)
    waiting = False
    while found := bucket.list(key):
        # by the bucket's clock: the locker's own may be wrong
        age = (clock.now() - found[0].modified_at).total_seconds()
        content = bucket.get(key) or b""
        if age >= longest_apply:
            bucket.put(broken_lock_key(instance, clock.now()), content)
            bucket.delete(key)
            say(f"broke Terraform's lock, {age / 60:.0f} minutes old: {_told(content)}")
            return
        if not waiting:
            say(f"waiting for a Terraform that holds the state: {_told(content)}")
            waiting = True
        clock.sleep(min(_POLL, longest_apply - age))
        beat()


def _told(lock: bytes) -> str:
    """What a lock of Terraform's says of its holder. Hostile text: only known fields, cut short."""
    try:
        document = json.loads(lock)
        return ", ".join(
            f"{key} {str(document[key])[:100]!r}" for key in ("ID", "Operation", "Who", "Created")
        )
    except (ValueError, KeyError, TypeError):
        return "it says nothing of its holder"
