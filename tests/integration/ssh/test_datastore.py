"""Snapshots of the datastore over real SSH, and their way back."""

import json
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from zave.errors import PreconditionError, StepFailedError
from zave.ports.machines import Release

RELEASE = Release("v1.35.9+k3s1", "ab" * 32, "vendor")


@pytest.fixture
def cluster(lab: Any) -> Any:
    """A lab that runs, with one row in its datastore."""
    lab.machines().join(lab.all, release=RELEASE, say=lab.say)
    write(lab, "first")
    return lab


def database(lab: Any) -> Path:
    return Path(lab.leader.file("var/lib/rancher/k3s/server/db/state.db"))


def write(lab: Any, value: str) -> None:
    with sqlite3.connect(database(lab)) as connection:
        connection.execute("insert into kine values (?)", (value,))


def rows(lab: Any) -> list[str]:
    return [row[0] for row in sqlite3.connect(database(lab)).execute("select value from kine")]


def test_a_snapshot_brings_back_what_was_there(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    header = json.loads(file.read_bytes()[:4096])
    assert (header["instance"], header["kind"], header["release"]) == ("lab", "sqlite", "v1.35.9+k3s1")
    assert not cluster.leader.file("var/lib/zave/snapshot").exists()

    write(cluster, "later")
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["first"]
    assert "systemctl stop k3s-token.path k3s.service" in cluster.leader.calls()
    assert cluster.machines().look(cluster.all)[0].running
    # what was there is not lost: on the machine, and as a snapshot here
    kept = [f.name for f in (cluster.folder / "snapshots").iterdir()]
    assert [name.startswith("before-restore-") for name in kept] == [True]
    former = cluster.leader.file("var/lib/rancher/k3s/server/db.before-restore/state.db")
    assert [r[0] for r in sqlite3.connect(former).execute("select value from kine")] == ["first", "later"]


def test_a_snapshot_of_another_cluster_is_refused(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    cluster.leader.anew()
    cluster.machines().join(cluster.all, release=RELEASE, say=cluster.say)
    with pytest.raises(PreconditionError, match="a snapshot of another cluster"):
        cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert "systemctl stop k3s-token.path k3s.service" not in cluster.leader.calls()


def test_a_snapshot_of_a_newer_release_is_refused(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"v1.35.9+k3s1", b"v1.36.0+k3s1", 1))
    with pytest.raises(PreconditionError, match=r"was made by k3s v1\.36\.0"):
        cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["first"]


def test_a_damaged_snapshot_changes_nothing(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    content = file.read_bytes()
    file.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    with pytest.raises(PreconditionError, match="is damaged"):
        cluster.machines().restore(cluster.all, file, say=cluster.say)
    file.write_bytes(content[:-1])
    with pytest.raises(PreconditionError, match="no whole snapshot"):
        cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert cluster.machines().look(cluster.all)[0].running


def test_a_snapshot_replaces_no_file_and_leaves_none_behind_when_it_fails(
    cluster: Any, tmp_path: Path
) -> None:
    file = tmp_path / "lab.snapshot"
    file.write_text("mine")
    with pytest.raises(StepFailedError, match="is there already"):
        cluster.machines().snapshot(cluster.all, file)
    assert file.read_text() == "mine"
    database(cluster).unlink()
    with pytest.raises(StepFailedError, match="making a snapshot failed"):
        cluster.machines().snapshot(cluster.all, tmp_path / "other")
    assert sorted(f.name for f in tmp_path.glob("*other*")) == []
