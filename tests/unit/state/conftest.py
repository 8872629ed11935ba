"""A state directory in `tmp_path`, a clock that a test sets, and stores that are closed again."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zave.clock import Clock
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore


class SettableClock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def directory(tmp_path: Path) -> StateDirectory:
    return StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)


@pytest.fixture
def open_store(directory: StateDirectory, clock: Clock) -> Iterator[Callable[[], StateStore]]:
    opened: list[StateStore] = []

    def open_one() -> StateStore:
        opened.append(StateStore.open(directory, clock=clock))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], StateStore]) -> StateStore:
    return open_store()


@pytest.fixture
def homelab(clock: Clock) -> InstanceRecord:
    return InstanceRecord(
        name="homelab",
        environment="homelab",
        platform="libvirt-k3s",
        phase="provisioning",
        created_at=clock.now(),
        spec={"nodes": {"worker": {"count": 2}}},
    )
