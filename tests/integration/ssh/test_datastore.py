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


def test_workers_begin_anew_with_the_restored_data(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    worker, shared = cluster.guests["lab-worker-1"], cluster.leader.cluster
    restarts = worker.calls().count("systemctl restart k3s.service")
    before = json.loads((shared / "lab-worker-1.json").read_text())["heartbeat"]
    # as in the data: a password from before the worker was made anew, a node of a worker that went since
    (shared / "lab-worker-1.password").write_text("from before")
    (shared / "lab-worker-2.json").write_text('{"release": "v1.35.9+k3s1"}')
    (shared / "raspberry.json").write_text('{"release": "v1.35.9+k3s1"}')
    cluster.said.clear()
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    # its kubelet would go on from what came after the snapshot
    assert worker.calls().count("systemctl restart k3s.service") == restarts + 1
    assert json.loads((shared / "lab-worker-1.json").read_text())["heartbeat"] != before
    names = sorted(each.stem for each in shared.glob("*.json"))
    assert names == ["lab-control-plane-1", "lab-worker-1", "raspberry"]
    assert "lab-worker-2 is gone: its former node is deleted" in cluster.said
    assert [text for text in cluster.said if text.startswith("lab-worker-1: restarting k3s: ")]


def test_a_worker_that_cannot_be_restarted_is_named_after_the_data_are_back(
    cluster: Any, tmp_path: Path
) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    write(cluster, "later")
    (cluster.guests["lab-worker-1"].folder / "no-sudo").touch()
    with pytest.raises(StepFailedError, match="lab-worker-1 is no Ready node after 20 s: nothing heard"):
        cluster.machines(start=20).restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["first"]
    assert [text for text in cluster.said if "warning: k3s there was not restarted" in text]


# a control plane that was made anew


def test_a_new_control_plane_becomes_the_former_one_when_that_is_agreed_to(
    cluster: Any, tmp_path: Path
) -> None:
    file = tmp_path / "lab.snapshot"
    shared, server = cluster.leader.cluster, "var/lib/rancher/k3s/server"
    authority = (shared / "ca").read_text()
    cred = cluster.leader.file(f"{server}/cred")
    cred.mkdir()
    (cred / "encryption-config.json").write_text("the former keys")
    cluster.machines().snapshot(cluster.all, file)
    assert not cluster.machines().is_of_former(cluster.all, file)
    tokens = cluster.leader.file("etc/rancher/k3s/token").read_text()

    cluster.leader.anew()
    cluster.machines().join(cluster.all, release=RELEASE, say=cluster.say)
    write(cluster, "of the new one")
    assert (shared / "ca").read_text() != authority
    assert cluster.machines().is_of_former(cluster.all, file)
    with pytest.raises(PreconditionError, match="is of an earlier control plane of lab"):
        cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["of the new one"]

    cluster.machines().restore(cluster.all, file, say=cluster.say, take_over=True)
    assert rows(cluster) == ["first"]
    assert (shared / "ca").read_text() == authority
    assert cluster.leader.file("etc/rancher/k3s/token").read_text() == tokens
    assert (cluster.leader.file(f"{server}/cred") / "encryption-config.json").read_text() == "the former keys"
    # the worker was let in: it has that cluster's token again
    worker = cluster.guests["lab-worker-1"].file("etc/rancher/k3s/token").read_text()
    assert worker.startswith(f"K10{authority}::node:")
    assert sorted(each.stem for each in shared.glob("*.json")) == ["lab-control-plane-1", "lab-worker-1"]
    assert not list(cluster.leader.file("var/lib/zave").glob("restore/*"))
    # and from now on it is no other one
    assert not cluster.machines().is_of_former(cluster.all, file)


def test_a_takeover_that_fails_leaves_the_new_control_plane_as_it_was(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    cluster.leader.anew()
    cluster.machines().join(cluster.all, release=RELEASE, say=cluster.say)
    authority = (cluster.leader.cluster / "ca").read_text()
    token = cluster.leader.file("etc/rancher/k3s/token").read_text()
    (cluster.leader.file("var/lib/rancher/k3s/server") / "db/state.db.new").mkdir()
    with pytest.raises(StepFailedError, match="putting the snapshot back failed"):
        cluster.machines().restore(cluster.all, file, say=cluster.say, take_over=True)
    assert cluster.leader.file("etc/rancher/k3s/token").read_text() == token
    assert cluster.machines().look(cluster.all)[0].running
    assert (cluster.leader.cluster / "ca").read_text() == authority


def test_a_snapshot_without_keys_cannot_make_a_new_control_plane_the_former_one(
    cluster: Any, tmp_path: Path
) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    content = file.read_bytes()
    header = json.loads(content[:4096])
    del header["keys_sha256"], header["keys_size"]
    # as an older zave wrote it
    line = json.dumps(header | {"schema": "zave/k3s-snapshot/v1"}).encode()
    file.write_bytes(line.ljust(4095) + b"\n" + content[4096 : 4096 + header["size"]])
    write(cluster, "later")
    cluster.machines().restore(cluster.all, file, say=cluster.say)
    assert rows(cluster) == ["first"]
    cluster.leader.anew()
    cluster.machines().join(cluster.all, release=RELEASE, say=cluster.say)
    with pytest.raises(PreconditionError, match="does not hold its keys"):
        cluster.machines().is_of_former(cluster.all, file)


def test_a_snapshot_of_another_instance_is_refused(cluster: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    cluster.machines().snapshot(cluster.all, file)
    file.write_bytes(file.read_bytes().replace(b'"instance": "lab"', b'"instance": "lob"', 1))
    cluster.leader.anew()
    cluster.machines().join(cluster.all, release=RELEASE, say=cluster.say)
    with pytest.raises(PreconditionError, match=r"a snapshot of another cluster \(of lob\)"):
        cluster.machines().restore(cluster.all, file, say=cluster.say, take_over=True)
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
    # the keys, which follow the data
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
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


def test_a_snapshot_is_made_by_a_server_that_answers(three: Any, tmp_path: Path) -> None:
    three.leader.stop()
    put(etcd(three, 2), "later")
    put(etcd(three, 3), "later")
    three.machines(boot=1).snapshot(three.all, tmp_path / "lab.snapshot")
    header = json.loads((tmp_path / "lab.snapshot").read_bytes()[:4096])
    assert (header["instance"], header["kind"]) == ("lab", "etcd")
    assert "etcd-snapshot" not in three.leader.calls()


def test_three_new_servers_become_the_former_ones(three: Any, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    three.machines().snapshot(three.all, file)
    authority = (three.leader.cluster / "ca").read_text()
    for number in (1, 2, 3):
        three.guests[f"lab-control-plane-{number}"].anew()
    three.machines().join(three.all, release=RELEASE, say=three.say)
    assert (three.leader.cluster / "ca").read_text() != authority
    three.machines().restore(three.all, file, say=three.say, take_over=True)
    assert [values(etcd(three, number)) for number in (1, 2, 3)] == [["first"]] * 3
    assert (three.leader.cluster / "ca").read_text() == authority
    for name, user in (("control-plane-2", "server"), ("control-plane-3", "server"), ("worker-1", "node")):
        token = three.guests[f"lab-{name}"].file("etc/rancher/k3s/token").read_text()
        assert token.startswith(f"K10{authority}::{user}:")
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
