"""How long things take on the platforms that a rehearsal stands for; data in `durations.json`."""

import json
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# seconds, where no source says how long something takes
ASSUMED = 1.0


@dataclass(frozen=True)
class Duration:
    """Seconds that an action takes: at least, typically, at most; `source` names where that is from."""

    minimum: float
    typical: float
    maximum: float
    source: str

    def of(self, name: str) -> float:
        """The seconds for `name`: always the same, spread so that half lies below `typical`."""
        share = zlib.crc32(name.encode()) / 0xFFFFFFFF
        if share < 0.5:
            return self.minimum + (self.typical - self.minimum) * 2 * share
        return self.typical + (self.maximum - self.typical) * (2 * share - 1)


def duration_of(type_: str, action: str) -> Duration:
    """What the table says about `action` on `type_`; ASSUMED, and so called, where it says nothing."""
    row = _table().get(type_, {}).get(action)
    if row is None:
        return Duration(ASSUMED, ASSUMED, ASSUMED, "assumed")
    return Duration(row["min"], row["typical"], row["max"], row["source"])


def seconds_for(type_: str, action: str, name: str) -> float:
    """The virtual seconds that `action` on the thing `name` of `type_` takes."""
    return duration_of(type_, action).of(f"{type_}/{name}/{action}")


@cache
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("durations.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)["types"]
    return table
