"""A world of its own for each test, and things to put into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]


@pytest.fixture
def world_path(tmp_path: Path) -> Path:
    return tmp_path / "rehearsal" / "world.db"


@pytest.fixture
def world(world_path: Path) -> Iterator[World]:
    world = World.open(world_path)
    yield world
    world.close()


@pytest.fixture
def draft() -> DraftOf:
    """Makes a draft: `draft("web", type="libvirt_volume", pool="default")`."""

    def make(name: str, *, type: str = "libvirt_domain", seconds: float | None = None, **more: Any) -> Draft:  # noqa: A002
        attributes = {"name": name, "uuid": f"uuid-{name}", "id": f"id-{name}", **more}
        return Draft("libvirt", type, name, name, attributes, seconds=seconds)

    return make
