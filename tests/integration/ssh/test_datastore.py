"""Snapshots of the datastore over real SSH, and their way back."""

import json
import shutil
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
    return values(database(lab))


def values(file: Path) -> list[str]:
    return [row[0] for row in sqlite3.connect(file).execute("select value from kine")]


def former(lab: Any, *, server: str = "lab-control-plane-1") -> Path:
    """What a restore has left of the former data on a server; there is one of them."""
    (folder,) = lab.guests[server].file("var/lib/rancher/k3s/server").glob("db.before-restore-*")
    return Path(folder)


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
    assert values(former(cluster) / "state.db") == ["first", "later"]
    assert any("db.before-restore-" in text and "lab-control-plane-1" in text for text in cluster.said)


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


# a datastore that is broken: what a restore is for


@pytest.mark.parametrize("damage", [b"this is no database", b"SQLite format 3\0 cut off", None])
def test_a_broken_datastore_is_restored_and_what_it_was_is_kept_on_the_machine(
    cluster: Any, tmp_path: Path, damage: bytes | None
) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    database(cluster).unlink()
    if damage is not None:
        database(cluster).write_bytes(damage)
    # k3s cannot start with it
    (cluster.leader.folder / "unit").write_text("activating")
    cluster.said.clear()
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["first"]
    assert cluster.machines().look(cluster.all)[0].running
    (warning,) = [
        text for text in cluster.said if text.startswith("warning: no snapshot of the present data")
    ]
    assert "sqlite3" in warning
    assert not (cluster.folder / "snapshots").exists()
    kept = former(cluster)
    assert [text for text in cluster.said if str(kept.name) in text]
    assert (kept / "state.db").exists() == (damage is not None)
    if damage is not None:
        assert (kept / "state.db").read_bytes() == damage


def test_a_second_restore_keeps_what_the_first_one_kept(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    write(cluster, "precious")
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    cluster.clock.sleep(60)
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    kept = sorted(cluster.leader.file("var/lib/rancher/k3s/server").glob("db.before-restore-*"))
    assert [values(folder / "state.db") for folder in kept] == [["first", "precious"], ["first"]]


# etcd


@pytest.fixture
def three(etcd_lab: Any) -> Any:
    """Three servers that run, with one row in the datastore of each."""
    etcd_lab.machines().join(etcd_lab.all, release=RELEASE, say=etcd_lab.say)
    for number in (1, 2, 3):
        put(etcd(etcd_lab, number), "first")
    return etcd_lab


def etcd(lab: Any, number: int = 1) -> Path:
    server = lab.guests[f"lab-control-plane-{number}"]
    return Path(server.file("var/lib/rancher/k3s/server/db/etcd/data"))


def put(file: Path, value: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("insert into kine values (?)", (value,))


def test_a_snapshot_of_etcd_comes_back_on_every_server(three: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    three.machines().snapshot(three.all, file)
    assert json.loads(file.read_bytes()[:4096])["kind"] == "etcd"
    put(etcd(three), "later")
    three.machines().restore(three.all, file, say=three.say)
    # the others gave theirs up, and took the leader's
    assert [values(etcd(three, number)) for number in (1, 2, 3)] == [["first"]] * 3
    assert values(former(three) / "etcd/data") == ["first", "later"]
    assert values(former(three, server="lab-control-plane-2") / "etcd/data") == ["first"]
    assert all(state.running for state in three.machines().look(three.all))


@pytest.mark.parametrize("fails", [False, True])
def test_a_first_server_that_was_made_anew_is_reset_and_joins_as_before(
    three: Any, tmp_path: Path, *, fails: bool
) -> None:
    three.leader.anew()
    three.machines().join(three.all, release=RELEASE, say=three.say)
    joining = three.leader.file("etc/rancher/k3s/config.yaml.d/zave-join.yaml")
    told = joining.read_text()
    assert 'server: "https://127.0.0.12:6443"' in told
    file = tmp_path / "lab.snapshot"
    three.machines().snapshot(three.all, file)
    put(etcd(three), "later")
    if fails:
        (three.leader.folder / "no-reset").touch()
        with pytest.raises(StepFailedError, match="putting the snapshot back failed") as caught:
            three.machines().restore(three.all, file, say=three.say)
        assert "snapshot restore failed" in str(caught.value.details)
        # every server goes on with what it had
        assert values(etcd(three)) == ["first", "later"]
        assert not list(three.guests["lab-control-plane-2"].folder.rglob("db.before-restore-*"))
    else:
        three.machines().restore(three.all, file, say=three.say)
        assert values(etcd(three)) == ["first"]
    assert "cluster-reset" in three.leader.calls()
    assert joining.read_text() == told
    assert all(state.running for state in three.machines().look(three.all))


def test_an_etcd_that_is_lost_is_still_an_etcd(three: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    three.machines().snapshot(three.all, file)
    shutil.rmtree(etcd(three).parent)
    three.said.clear()
    three.machines().restore(three.all, file, say=three.say)
    assert values(etcd(three)) == ["first"]
    assert [text for text in three.said if text.startswith("warning: no snapshot of the present data")]
