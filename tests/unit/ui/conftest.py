from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from zave.events import Event, Stamped

START = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
Stamp = Callable[..., Stamped]


@pytest.fixture
def stamp() -> Stamp:
    """An event at a virtual moment, `after` seconds from a fixed start."""

    def make(event: Event, *, after: float = 0.0) -> Stamped:
        return Stamped(event, at=START + timedelta(seconds=after), real_at=START)

    return make
