"""Which Terraforms of this machine are certainly over: nobody need wait for a lock that one of them left."""

import json
import os
import pwd
import socket
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from zave.aws.state_lock import Ended
from zave.clock import from_rfc3339
from zave.state.directory import InstanceFolder
from zave.survivors import find

# a Terraform locks its state seconds after it was started; zave tells what it does at least as often
_AFTER_THE_LAST_WORD = timedelta(seconds=60)
# killed runs, one after another, that nobody finished
_RUNS = 20
# of the end of an event file, which has a line every few hundred bytes
_TAIL = 1 << 16


def ended_terraforms(folder: InstanceFolder, *, own: str) -> Ended:
    """Those of earlier runs of this instance, by their event files; `own` is the run that asks.

    None of them counts as over while a program that some zave started for the instance still runs here.
    """
    if find(folder.survivors):
        return Ended(_who(), ())
    files = sorted((each for each in folder.events.glob("*.jsonl") if each.stem != own), reverse=True)
    spans = (_span(each) for each in files[:_RUNS])
    return Ended(_who(), tuple(span for span in spans if span is not None))


def _span(events: Path) -> tuple[datetime, datetime] | None:
    """From a run's first to its last word; None where the file does not tell."""
    with suppress(OSError, ValueError, KeyError, TypeError), events.open("rb") as stream:
        first = stream.readline()
        stream.seek(max(0, events.stat().st_size - _TAIL))
        # the last line may be cut off: its zave was killed
        last = stream.read().rpartition(b"\n")[0].rpartition(b"\n")[2] or first
        return _moment(first), _moment(last) + _AFTER_THE_LAST_WORD
    return None


def _moment(line: bytes) -> datetime:
    # a lock is dated by the machine's clock, also where the run's own was another
    return from_rfc3339(json.loads(line)["real_at"])


def _who() -> str:
    """As Terraform names the holder of a lock: the user by its number, at the host's name."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = ""
    return f"{user}@{socket.gethostname()}"
