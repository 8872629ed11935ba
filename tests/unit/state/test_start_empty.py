"""An empty record is begun only where the old one is really lost, and what was left of it is kept."""

from collections.abc import Callable

import pytest

from zave.errors import StateError, UsageError
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

Open = Callable[[], StateStore]


@pytest.fixture
def lived(directory: StateDirectory, open_store: Open, homelab: InstanceRecord) -> StateDirectory:
    """A directory whose record was used, with an instance's folder beside it."""
    store = open_store()
    store.save_instance(homelab)
    store.close()
    events = directory.instance("homelab").events
    events.mkdir(parents=True, mode=0o700)
    (events / "20261123T101500-000001.jsonl").write_text("{}\n")
    return directory


def _damage(directory: StateDirectory) -> None:
    directory.database.write_bytes(b"no database at all")


def _remove(directory: StateDirectory) -> None:
    for file in directory.database_files:
        file.unlink(missing_ok=True)


@pytest.mark.parametrize(("lose", "kept"), [(_damage, True), (_remove, False)])
def test_a_lost_record_is_begun_anew_when_it_is_asked_for(
    lose: Callable[[StateDirectory], None], kept: bool, lived: StateDirectory, open_store: Open
) -> None:
    lose(lived)
    with pytest.raises(StateError, match="cannot be used"):
        open_store()
    folder = StateStore.start_empty(lived)
    assert (folder is not None) == kept
    if folder is not None:
        assert (folder / "state.db").read_bytes() == b"no database at all"
    store = open_store()
    assert store.instances() == []
    assert store.notices == []


def test_a_usable_record_is_never_replaced(
    lived: StateDirectory, open_store: Open, homelab: InstanceRecord
) -> None:
    with pytest.raises(UsageError, match="not lost"):
        StateStore.start_empty(lived)
    assert open_store().instances() == [homelab]


def test_a_good_backup_comes_before_an_empty_record(
    lived: StateDirectory, open_store: Open, homelab: InstanceRecord
) -> None:
    store = open_store()
    store.backup()
    store.close()
    _damage(lived)
    with pytest.raises(UsageError, match="good backup"):
        StateStore.start_empty(lived)
    assert open_store().instances() == [homelab]
