"""Ids of runs: `20261123T101500-00a3f1`, the second a run began and a number that tells two apart."""

import os
from datetime import UTC, datetime, timedelta

_STAMP = "%Y%m%dT%H%M%S"
_STAMP_LENGTH = 15
# a new second starts in the lower half, so that those that follow in it have room to sort after it
_FIRST_BELOW = 0x800000
_STEP_BELOW = 0x100
_LIMIT = 0x1000000


def next_run_id(now: datetime, *, last: str | None) -> str:
    """An id that sorts after `last`, also when the clock stood still or was set back.

    Partly random: after a restore from a backup, ids are not given out a second time.
    """
    stamp = now.astimezone(UTC).strftime(_STAMP)
    if last is None or stamp > last[:_STAMP_LENGTH]:
        return f"{stamp}-{_random(_FIRST_BELOW):06x}"
    stamp = last[:_STAMP_LENGTH]
    number = int(last[_STAMP_LENGTH + 1 :], 16) + 1 + _random(_STEP_BELOW)
    if number < _LIMIT:
        return f"{stamp}-{number:06x}"
    after = datetime.fromisoformat(stamp) + timedelta(seconds=1)
    return f"{after.strftime(_STAMP)}-{_random(_FIRST_BELOW):06x}"


def _random(below: int) -> int:
    # `secrets` would do, but brings hashlib and takes longer to import than all of this package
    return int.from_bytes(os.urandom(4), "big") % below
