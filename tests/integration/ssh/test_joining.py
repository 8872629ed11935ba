"""Machines become a cluster over real SSH: host keys, tokens, artifacts, and what may go wrong."""

import hashlib
import json
import os
import re
import socket
import sqlite3
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.system.processes import command_lines
from zave.errors import PreconditionError, StepFailedError
from zave.k3s.cluster import LabCluster
from zave.ports.machines import Release

OLD = Release("v1.35.9+k3s1", "ab" * 32, "vendor")
NEW = Release("v1.36.2+k3s1", "cd" * 32, "vendor")
TOKEN = "etc/rancher/k3s/token"


def join(lab: Any, release: Release = OLD, **limits: float) -> None:
    lab.said.clear()
    lab.machines(**limits).join(lab.all, release=release, say=lab.say)


def states(lab: Any) -> list[tuple[str | None, bool]]:
    return [(state.release, state.running) for state in lab.machines().look(lab.all)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# joining


def test_machines_become_one_cluster_and_a_second_join_changes_nothing(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 3
    names = [node.name for node in cluster_of(lab).nodes(instance="lab")]
    assert names == ["lab-control-plane-1", "lab-worker-1", "lab-worker-2"]
    authority = (lab.leader.cluster / "ca").read_text()
    for worker in ("lab-worker-1", "lab-worker-2"):
        token = lab.guests[worker].file(TOKEN)
        # the agents' own, and bound to this cluster's CA: never the server's, which is cluster admin
        assert re.fullmatch(rf"K10{authority}::node:[0-9a-f]{{64}}\n", token.read_text())
        assert mode(token) == 0o600
    tokens = [lab.leader.file(f"etc/rancher/k3s/{name}") for name in ("token", "agent-token")]
    assert [mode(file) for file in tokens] == [0o600, 0o600]
    assert len({file.read_text() for file in tokens}) == 2

    before = {name: (guest.calls(), guest.file(TOKEN).read_text()) for name, guest in lab.guests.items()}
    join(lab)
    assert before == {n: (g.calls(), g.file(TOKEN).read_text()) for n, g in lab.guests.items()}


def test_no_token_is_ever_in_an_argument_or_on_this_machines_disk(lab: Any) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.update(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        join(lab)
    finally:
        done.set()
        watcher.join()
    tokens = [lab.leader.file(f"etc/rancher/k3s/{n}").read_text().strip() for n in ("token", "agent-token")]
    # the watcher did see zave's own programs at work
    assert any("UserKnownHostsFile" in line for line in seen)
    for token in tokens:
        assert not [line for line in seen if token in line]
        assert not [text for text in lab.said if token in text]
        for file in lab.folder.rglob("*"):
            assert not file.is_file() or token.encode() not in file.read_bytes()


def test_a_machine_waits_for_its_first_boot_and_tells_why_it_failed(lab: Any) -> None:
    worker = lab.guests["lab-worker-1"]
    errors = ["('scripts_user', \x1b]0;pwned\x07RuntimeError('harden-os.sh failed'))"]
    worker.first_boot(json.dumps({"v1": {"datasource": "DataSourceNoCloud", "errors": errors}}))
    with pytest.raises(StepFailedError, match="lab-worker-1: cloud-init ended with errors") as caught:
        join(lab)
    assert "harden-os.sh failed" in str(caught.value.details)
    assert not lab.leader.file(TOKEN).exists()

    worker.first_boot(json.dumps({"v1": {"datasource": "DataSourceNone", "errors": []}}))
    with pytest.raises(StepFailedError, match="took DataSourceNone, not the seed"):
        join(lab)
    worker.first_boot(None)
    with pytest.raises(StepFailedError, match="cloud-init did not end within 15 s") as caught:
        join(lab)
    # what a machine says is shown without what a terminal would act on
    assert "what went wrong" in str(caught.value.details)
    assert "\x1b" not in str(caught.value.details)
    assert "\x07" not in str(caught.value.details)


def test_a_cloud_init_that_was_restarted_does_not_speak_for_the_script_of_the_first_boot(lab: Any) -> None:
    """It says that it ended well: it did not run the script a second time, which goes on, or was cut off."""
    worker = lab.guests["lab-worker-1"]
    ended_well = json.dumps({"v1": {"datasource": "DataSourceNoCloud", "errors": []}})
    worker.first_boot(ended_well, ended=False)
    with pytest.raises(StepFailedError, match="lab-worker-1: cloud-init did not end within 15 s"):
        join(lab)
    assert not lab.leader.file(TOKEN).exists()
    worker.first_boot(ended_well)
    join(lab)
    # a machine of an earlier version, which wrote no marker: it has its token
    worker.first_boot(ended_well, ended=False)
    join(lab)


def test_files_of_an_artifacts_folder_are_copied_whole_and_once(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "k3s").write_bytes(os.urandom(300_000))
    digest = hashlib.sha256((folder / "k3s").read_bytes()).hexdigest()
    release = Release("v1.35.9+k3s1", digest, "folder", location=str(folder))
    join(lab, release)
    for guest in lab.guests.values():
        copied = guest.file("var/lib/zave/artifacts/k3s")
        assert copied.read_bytes() == (folder / "k3s").read_bytes()
        assert str(folder) not in guest.file("etc/zave/k3s.env").read_text()
    assert [text for text in lab.said if "copying k3s" in text]

    (folder / "k3s").write_bytes(b"another")
    lab.guests["lab-worker-1"].anew()
    with pytest.raises(StepFailedError, match="k3s is not the file that was pinned"):
        join(lab, release)


def test_a_connection_that_is_cut_leaves_no_token_and_the_next_join_ends_it(lab: Any) -> None:
    obstacle = lab.leader.folder / "cut"
    obstacle.touch()
    with pytest.raises(StepFailedError, match="giving it its tokens failed: the connection was lost"):
        join(lab)
    assert not [file.name for file in lab.leader.file("etc/rancher/k3s").iterdir()]
    obstacle.unlink()
    join(lab)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2


def test_k3s_that_does_not_start_in_time_shows_its_last_words(lab: Any) -> None:
    (lab.guests["lab-worker-1"].folder / "unit").write_text("activating")
    with pytest.raises(StepFailedError, match=r"lab-worker-1: k3s v1.35.9\+k3s1 did not run") as caught:
        join(lab, start=20)
    assert caught.value.details == "level=fatal msg=what went wrong"


@pytest.mark.parametrize("refused", ["token", "password"])
def test_an_agent_that_is_not_let_in_has_not_joined(lab: Any, refused: str) -> None:
    """k3s' agent tries again for ever: its unit is active whether it was let in or not."""
    join(lab)
    worker = lab.guests["lab-worker-1"]
    (lab.leader.cluster / "lab-worker-1.json").unlink()
    if refused == "token":
        # as of a cluster that is no more, and left so
        (lab.leader.cluster / "ca").write_text("0" * 64)
    else:
        (lab.leader.cluster / "lab-worker-1.password").write_text("another machine's")
    assert states(lab)[1] == ("v1.35.9+k3s1", True)
    with pytest.raises(StepFailedError, match="lab-worker-1 is no Ready node after 20 s") as caught:
        join(lab, start=20)
    assert "it has not joined" in caught.value.brief
    assert caught.value.details == "level=fatal msg=what went wrong"
    assert "`zave logs lab --node lab-worker-1`" in str(caught.value.resolution)
    assert "waiting for nodes to be Ready: lab-worker-1 (it has not joined)" in lab.said
    # and it does so in the end, without being started again
    before = worker.calls()
    lab.leader.folder.joinpath("unit").unlink()
    (lab.leader.cluster / "lab-worker-1.password").unlink(missing_ok=True)
    join(lab)
    assert worker.calls() == before


def test_a_machine_made_anew_brings_a_new_password_also_where_only_the_former_ones_is_left(lab: Any) -> None:
    join(lab)
    lab.guests["lab-worker-1"].anew()
    # somebody deleted the node, and k3s was not there to drop what belongs to it
    (lab.leader.cluster / "lab-worker-1.json").unlink()
    join(lab)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2
    assert [node.state for node in cluster_of(lab).nodes(instance="lab")] == ["Ready", "Ready"]


def test_a_control_plane_that_was_made_anew_gives_the_agents_its_token(lab: Any) -> None:
    join(lab)
    former = lab.guests["lab-worker-1"].file(TOKEN).read_text()
    lab.leader.anew()
    join(lab)
    assert lab.guests["lab-worker-1"].file(TOKEN).read_text() != former
    assert "systemctl try-restart k3s.service" in lab.guests["lab-worker-1"].calls()
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2
    assert len(cluster_of(lab).nodes(instance="lab")) == 2


def test_a_worker_that_was_made_anew_joins_under_its_name(lab: Any) -> None:
    join(lab)
    lab.guests["lab-worker-1"].anew()
    join(lab)
    # k3s refuses a name that it knows with another password
    assert "kubectl delete node lab-worker-1 --ignore-not-found" in lab.leader.calls()
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2


def test_nodes_of_machines_that_went_are_deleted_and_nobody_elses(lab: Any) -> None:
    join(lab)
    for name in ("lab-worker-7", "raspberry"):
        (lab.leader.cluster / f"{name}.json").write_text('{"release": "v1.35.9+k3s1"}')
    join(lab)
    names = [node.name for node in cluster_of(lab).nodes(instance="lab")]
    assert names == ["lab-control-plane-1", "lab-worker-1", "raspberry"]


def test_a_unit_that_somebody_stopped_is_started(lab: Any) -> None:
    join(lab)
    (lab.guests["lab-worker-1"].folder / "unit").write_text("inactive")
    assert states(lab)[1] == ("v1.35.9+k3s1", False)
    join(lab)
    assert states(lab)[1] == ("v1.35.9+k3s1", True)


# host keys


def test_a_host_key_that_the_console_did_not_tell_is_never_spoken_to(lab: Any) -> None:
    worker = lab.guests["lab-worker-1"]
    worker.stop()
    worker.new_host_key()
    worker.start()
    with pytest.raises(StepFailedError, match="somebody else answers at the address of lab-worker-1"):
        join(lab)
    assert "Accepted" not in (worker.folder / "sshd.log").read_text()


def test_the_console_of_another_machine_counts_for_nothing(lab: Any) -> None:
    worker = lab.guests["lab-worker-1"]
    worker.console = worker.told(worker.public_key(), node="lab-worker-2")
    with pytest.raises(StepFailedError, match="lab-worker-1 did not tell its SSH host keys"):
        join(lab)
    assert "Accepted" not in (worker.folder / "sshd.log").read_text()


def test_a_machine_that_was_made_anew_is_followed_by_its_console_and_told(lab: Any) -> None:
    join(lab)
    lab.guests["lab-worker-1"].anew()
    assert "another host key answers" in str(lab.machines().look(lab.all)[1].problem)
    join(lab)
    notices = [text for text in lab.said if "lab-worker-1: notice: it was made anew" in text]
    assert len(notices) == 1
    assert "SHA256:" in notices[0]
    assert states(lab)[1] == ("v1.35.9+k3s1", True)


def test_known_hosts_is_private_and_forgets_what_is_gone(lab: Any) -> None:
    join(lab)
    known = lab.folder / "known_hosts"
    assert mode(known) == 0o600
    assert [line.split()[0] for line in known.read_text().splitlines()] == sorted(lab.guests)
    lab.machines().forget(lab.all[1:])
    assert [line.split()[0] for line in known.read_text().splitlines()] == ["lab-control-plane-1"]


# a machine that does not let zave in


def test_a_refused_login_says_which_keys_were_tried(lab: Any) -> None:
    worker = lab.guests["lab-worker-1"]
    worker.stop()
    worker.authorized = ""
    worker.start()
    with pytest.raises(StepFailedError, match="lab-worker-1 refuses the login") as caught:
        join(lab)
    assert "Permission denied" in str(caught.value.details)
    assert "id_test.pub" in str(caught.value.resolution)


def test_a_user_who_may_not_become_root_is_told_so(lab: Any) -> None:
    (lab.guests["lab-worker-1"].folder / "no-sudo").touch()
    with pytest.raises(StepFailedError, match="may not act as root"):
        join(lab)


def test_a_server_that_hangs_does_not_hang_zave(lab: Any) -> None:
    join(lab)
    worker = lab.guests["lab-worker-1"]
    worker.stop()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((worker.machine.address, lab.port))
        silent.listen()
        began = time.monotonic()
        found = lab.machines().look(lab.all)
        assert time.monotonic() - began < 20
    assert [state.problem is None for state in found] == [True, False]
    with pytest.raises(StepFailedError, match="lab-worker-1 did not answer SSH within 6 s") as caught:
        join(lab, boot=6)
    assert "zave console lab lab-worker-1" in str(caught.value.resolution)


def test_a_machine_never_entered_has_a_state_without_being_asked(lab: Any) -> None:
    assert {state.problem for state in lab.machines().look(lab.all)} == {
        "zave was never in it: its host key is not known"
    }


# upgrades


def test_an_upgrade_goes_node_by_node_with_the_control_plane_first(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    join(lab, NEW)
    assert states(lab) == [("v1.36.2+k3s1", True)] * 3
    steps = [line.removeprefix("kubectl ") for line in lab.leader.calls() if line.startswith("kubectl")]
    expected = []
    for name in ("lab-control-plane-1", "lab-worker-1", "lab-worker-2"):
        expected += [
            f"annotate node {name} zave/upgrading=ours --overwrite",
            f"drain {name} --ignore-daemonsets --delete-emptydir-data --timeout=600s",
            f"uncordon {name}",
            f"annotate node {name} zave/upgrading-",
        ]
    assert steps == expected
    kept = list((lab.folder / "snapshots").iterdir())
    assert len(kept) == 1
    assert mode(kept[0]) == 0o600


@pytest.mark.parametrize(
    ("version", "told"),
    [("v1.37.1+k3s1", "would leave out a minor version"), ("v1.35.8+k3s1", "is older")],
)
def test_a_step_that_cannot_be_taken_is_refused_before_anything_is_changed(
    lab: Any, version: str, told: str
) -> None:
    join(lab)
    before = {name: guest.calls() for name, guest in lab.guests.items()}
    with pytest.raises(PreconditionError, match=told):
        join(lab, Release(version, "ef" * 22, "vendor"))
    assert before == {name: guest.calls() for name, guest in lab.guests.items()}
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2


def test_pods_that_may_not_leave_stop_the_upgrade_and_the_node_serves_on(lab: Any) -> None:
    join(lab)
    (lab.leader.cluster / "budget").touch()
    with pytest.raises(StepFailedError, match="could not be drained") as caught:
        join(lab, NEW)
    assert "Cannot evict pod as it would violate" in str(caught.value.details)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2
    node = json.loads((lab.leader.cluster / "lab-control-plane-1.json").read_text())
    assert (node["cordoned"], node["mark"]) == (False, None)


def test_an_upgrade_that_was_cut_off_is_finished_by_the_next_join(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    obstacle = lab.guests["lab-worker-1"].folder / "no-install"
    obstacle.touch()
    with pytest.raises(StepFailedError, match="lab-worker-1: installing k3s"):
        join(lab, NEW)
    assert [release for release, _ in states(lab)] == ["v1.36.2+k3s1", "v1.35.9+k3s1", "v1.35.9+k3s1"]
    obstacle.unlink()
    join(lab, NEW)
    assert states(lab) == [("v1.36.2+k3s1", True)] * 3
    nodes = [json.loads(file.read_text()) for file in lab.leader.cluster.glob("*.json")]
    assert [(node["cordoned"], node["mark"]) for node in nodes] == [(False, None)] * 3
    # the one from before anything was changed
    assert len(list((lab.folder / "snapshots").iterdir())) == 1


def test_a_node_that_its_owner_cordoned_stays_so(lab: Any) -> None:
    join(lab)
    file = lab.leader.cluster / "lab-worker-1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"cordoned": True}))
    join(lab, NEW)
    assert json.loads(file.read_text())["cordoned"] is True


# another configuration


def configured(lab: Any, *servers: str, **also: str) -> dict[str, dict[str, str]]:
    """What the seeds of `servers` and the workers say; `also` are files that every machine has."""
    first = lab.leader.machine.address
    several = len(servers) > 1
    found = {}
    for machine in lab.all:
        told = f'server: "https://{first}:6443"' if machine.address != first else ""
        told = told or ("cluster-init: true" if several else "# alone")
        found[machine.name] = {"config.yaml": f"# seed\n{told}\n\n", **also}
    return found


def reconfigure(lab: Any, configuration: dict[str, dict[str, str]], **limits: float) -> None:
    lab.said.clear()
    lab.machines(**limits).join(lab.all, release=OLD, say=lab.say, configuration=configuration)


MIRRORS = """\
# where images of these registries are asked for first
mirrors:
  "docker.io":
    endpoint: ["https://mirror.example.org"]
"""


def test_another_configuration_reaches_machines_that_run_one_at_a_time(lab: Any) -> None:
    alone = configured(lab, "lab-control-plane-1")
    reconfigure(lab, alone)
    runs = {name: (guest.folder / "runs").read_text() for name, guest in lab.guests.items()}
    assert '"server": "https://127.0.0.11:6443"' in runs["lab-worker-1"]
    calls = {name: guest.calls() for name, guest in lab.guests.items()}
    # a comment is no configuration
    commented = {n: {k: f"# new\n{v}" for k, v in files.items()} for n, files in alone.items()}
    reconfigure(lab, commented)
    assert calls == {name: guest.calls() for name, guest in lab.guests.items()}

    reconfigure(lab, configured(lab, "lab-control-plane-1", **{"registries.yaml": MIRRORS}))
    for guest in lab.guests.values():
        file = guest.file("etc/rancher/k3s/registries.yaml")
        assert (file.read_text(), mode(file)) == (MIRRORS, 0o600)
        assert "systemctl restart k3s.service" in guest.calls()
    restarts = [text for text in lab.said if "restarting k3s with its new configuration" in text]
    assert [text.partition(":")[0] for text in restarts] == ["lab-control-plane-1", "lab-worker-1"]
    assert "drain lab-worker-1 --ignore" in " ".join(lab.leader.calls())
    assert len(list((lab.folder / "snapshots").iterdir())) == 1
    nodes = [json.loads(file.read_text()) for file in lab.leader.cluster.glob("*.json")]
    assert [(node["cordoned"], node["mark"]) for node in nodes] == [(False, None)] * 2

    reconfigure(lab, alone)
    assert not lab.leader.file("etc/rancher/k3s/registries.yaml").exists()
    assert lab.leader.file("etc/rancher/k3s/registries.yaml.former").read_text() == MIRRORS


def test_mirrors_that_somebody_wrote_by_hand_stay(lab: Any) -> None:
    join(lab)
    file = lab.leader.file("etc/rancher/k3s/registries.yaml")
    file.write_text("configs: {}\n")
    reconfigure(lab, configured(lab, "lab-control-plane-1"))
    assert file.read_text() == "configs: {}\n"


def test_a_configuration_with_which_k3s_does_not_start_stops_at_its_first_machine(lab: Any) -> None:
    reconfigure(lab, configured(lab, "lab-control-plane-1"))
    broken = {name: {"config.yaml": "broken: yes\n"} for name in lab.guests}
    with pytest.raises(StepFailedError, match="lab-control-plane-1 is not Ready") as caught:
        reconfigure(lab, broken, start=20)
    # the API server still has the node as Ready: from before
    assert "has told nothing since its restart" in caught.value.brief
    assert "systemctl restart k3s.service" not in lab.guests["lab-worker-1"].calls()
    # and the next run goes on, though the file is there already
    good = configured(lab, "lab-control-plane-1", **{"registries.yaml": MIRRORS})
    (lab.leader.file("etc/rancher/k3s/config.yaml")).write_text(good[lab.leader.machine.name]["config.yaml"])
    lab.leader.folder.joinpath("unit").unlink()
    reconfigure(lab, good)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 2
    assert json.loads((lab.leader.cluster / "lab-control-plane-1.json").read_text())["mark"] is None


# several servers


def test_servers_join_the_first_one_with_its_own_token(etcd_lab: Any) -> None:
    lab = etcd_lab
    join(lab)
    assert states(lab) == [("v1.35.9+k3s1", True)] * 4
    authority = (lab.leader.cluster / "ca").read_text()
    for name in ("lab-control-plane-2", "lab-control-plane-3"):
        guest = lab.guests[name]
        assert re.fullmatch(rf"K10{authority}::server:[0-9a-f]{{64}}\n", guest.file(TOKEN).read_text())
        told = guest.file("etc/rancher/k3s/config.yaml.d/zave-join.yaml")
        assert told.read_text() == 'cluster-init: false\nserver: "https://127.0.0.11:6443"\n'
        assert mode(told) == 0o600
        assert guest.file("var/lib/rancher/k3s/server/db/etcd").is_dir()
    # a first server that is made anew joins the others: it begins no second cluster
    lab.leader.anew()
    join(lab)
    assert (lab.leader.cluster / "ca").read_text() == authority
    assert json.loads((lab.leader.folder / "runs").read_text())["server"] == "https://127.0.0.12:6443"
    assert states(lab) == [("v1.35.9+k3s1", True)] * 4


def test_one_server_becomes_three_after_its_data_are_in_etcd(etcd_lab: Any) -> None:
    lab = etcd_lab
    grown = dict(lab.guests)
    for name in ("lab-control-plane-2", "lab-control-plane-3"):
        del lab.guests[name]
    lab.leader.file("etc/rancher/k3s/config.yaml").unlink()
    reconfigure(lab, configured(lab, "lab-control-plane-1"))
    database = lab.leader.file("var/lib/rancher/k3s/server/db/state.db")
    with sqlite3.connect(database) as connection:
        connection.execute("insert into kine values ('kept')")

    lab.guests.update(grown)
    # without its configuration the first server stays with SQLite: nobody may join it
    with pytest.raises(StepFailedError, match="lab-control-plane-1 keeps its data in SQLite"):
        join(lab)
    assert not lab.guests["lab-control-plane-2"].file(TOKEN).exists()

    servers = [name for name in grown if "plane" in name]
    reconfigure(lab, configured(lab, *servers))
    assert states(lab) == [("v1.35.9+k3s1", True)] * 4
    for name in servers:
        data = lab.guests[name].file("var/lib/rancher/k3s/server/db/etcd/data")
        assert sqlite3.connect(data).execute("select value from kine").fetchall() == [("kept",)]
    # one from before the data were converted
    assert len(list((lab.folder / "snapshots").iterdir())) == 1


# workers that go


def leave(lab: Any, *names: str) -> None:
    lab.said.clear()
    going = [lab.guests[name].machine for name in names]
    lab.machines(drain=5).leave(going, [m for m in lab.all if m not in going], say=lab.say)


def test_workers_that_go_are_drained_before(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    leave(lab, "lab-worker-2")
    drains = [line for line in lab.leader.calls() if line.startswith("kubectl drain")]
    assert [line.split()[2] for line in drains] == ["lab-worker-2"]
    # should it stay after all, the next join lifts the cordon
    file = lab.leader.cluster / "lab-worker-2.json"
    assert json.loads(file.read_text())["cordoned"] is True
    join(lab)
    assert json.loads(file.read_text())["cordoned"] is False


def test_pods_that_may_not_leave_keep_their_worker(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    (lab.leader.cluster / "budget").touch()
    with pytest.raises(StepFailedError, match="lab-worker-2 could not be drained"):
        leave(lab, "lab-worker-2")
    node = json.loads((lab.leader.cluster / "lab-worker-2.json").read_text())
    assert (node["cordoned"], node["mark"]) == (False, None)


def test_nobody_waits_for_a_worker_or_a_control_plane_that_does_not_answer(large_lab: Any) -> None:
    lab = large_lab
    join(lab)
    file = lab.leader.cluster / "lab-worker-1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"silent": True}))
    leave(lab, "lab-worker-1")
    assert "it is not Ready, so nothing is drained" in lab.said[0]
    (lab.leader.folder / "no-sudo").touch()
    leave(lab, "lab-worker-2")
    assert lab.said == ["warning: no control plane machine answers: pods on lab-worker-2 are cut off"]
    assert not [line for line in lab.leader.calls() if line.startswith("kubectl drain")]


# the cluster


def cluster_of(lab: Any) -> LabCluster:
    return LabCluster(machines=lambda _instance: lab.machines(), members=lambda _instance: lab.all)


def test_the_kubeconfig_is_for_the_machines_address_and_the_instances_name(lab: Any) -> None:
    join(lab)
    document = yaml.safe_load(cluster_of(lab).kubeconfig(instance="lab", outputs={}))
    assert document["current-context"] == "zave-lab"
    assert document["clusters"][0] == {
        "name": "zave-lab",
        "cluster": {"server": "https://127.0.0.11:6443", "certificate-authority-data": "QQ=="},
    }
    assert document["users"][0]["user"] == {"client-certificate-data": "Qg==", "client-key-data": "Qw=="}
    assert "Qw==" not in "".join(f.read_text(errors="replace") for f in lab.folder.rglob("*.log"))


@pytest.mark.parametrize(
    "text",
    ["", "a: [", "clusters: []", "x" * 100_000, "clusters: [{cluster: {certificate-authority-data: '!'}}]"],
)
def test_what_is_no_kubeconfig_is_refused_without_being_shown(lab: Any, text: str) -> None:
    join(lab)
    lab.leader.file("etc/rancher/k3s/k3s.yaml").write_text(text)
    with pytest.raises(StepFailedError, match="no kubeconfig in the form") as caught:
        cluster_of(lab).kubeconfig(instance="lab", outputs={})
    assert caught.value.details is None


def test_while_no_api_server_answers_nothing_is_known_of_any_node(lab: Any) -> None:
    join(lab)
    (lab.leader.folder / "no-sudo").touch()
    assert {node.state for node in cluster_of(lab).nodes(instance="lab")} == {"Unknown"}
    (lab.leader.folder / "no-sudo").unlink()
    assert {node.state for node in cluster_of(lab).nodes(instance="lab")} == {"Ready"}


def test_another_server_answers_for_the_nodes_while_the_first_one_is_down(etcd_lab: Any) -> None:
    lab = etcd_lab
    join(lab)
    lab.leader.stop()
    # its kubelet with it
    (lab.leader.folder / "unit").write_text("inactive")
    (lab.leader.cluster / "lab-control-plane-1.json").unlink()
    found = {node.name: node.state for node in cluster_of(lab).nodes(instance="lab")}
    assert found == {"lab-control-plane-2": "Ready", "lab-control-plane-3": "Ready", "lab-worker-1": "Ready"}


def test_a_shell_runs_a_command_with_the_pinned_key(lab: Any) -> None:
    import subprocess

    join(lab)
    words = lab.machines().shell(lab.all[1], ["printf", "%s|", "a b", "$HOME"])
    said = subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    assert said == b"a b|$HOME|"
