"""A home lab in its everyday life: machines stopped, resized, upgraded, looked into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.rehearsal.lab import Ended, Lab

ENVIRONMENT = """\
platform: libvirt-k3s
nodes:
  control-plane: {count: %(control)s}
  worker: {count: %(workers)s, memory: %(memory)s}
kubernetes: {version: %(version)s}
gitops: {profile: %(profile)s}
"""
USUAL = {"control": 1, "workers": 2, "memory": "8GiB", "version": "v1.35.8+k3s1", "profile": "slim"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder whose home lab runs k3s v1.35.8."""
    write(tmp_path / "project")
    return tmp_path / "project"


def write(project: Path, **changes: Any) -> None:
    file = project / "environments" / "homelab" / "environment.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ENVIRONMENT % {**USUAL, **changes})


def up(lab: Lab, project: Path) -> Ended:
    ended = lab.up("--project", str(project))
    assert ended.exit_code == 0, ended.told()
    return ended


def document(lab: Lab, *words: str, status: int = 0) -> dict[str, Any]:
    ended = lab.zave(*words, "--rehearse", "-o", "json")
    assert ended.exit_code == status, ended.told()
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def said(ended: Ended, step: str) -> list[str]:
    return [d["text"] for d in ended.documents if d["event"] == "step.progress" and d["step"] == step]


def nodes(lab: Lab) -> dict[str, tuple[str, str, str | None]]:
    """What `status` shows of each node: machine, readiness, release."""
    (shown,) = document(lab, "status", "homelab")["environments"]
    return {
        n["name"].removeprefix("homelab-"): (n["machine"], n["state"], n["release"]) for n in shown["nodes"]
    }


def test_a_stopped_node_is_drift_and_up_starts_it_again(standing_lab: Lab) -> None:
    standing_lab.zave("rehearse", "lose", "libvirt_domain", "zave-homelab-worker-1", "--stop")
    assert nodes(standing_lab)["worker-1"][:2] == ("shut off", "NotReady")
    drift = document(standing_lab, "drift", "homelab", status=3)
    assert {"step": "k3s", "problem": "homelab-worker-1: the machine is off"} in drift["record"]

    healed = standing_lab.up()
    assert healed.exit_code == 0, healed.told()
    assert "starting zave-homelab-worker-1, which is shut off" in said(healed, "k3s")
    assert nodes(standing_lab)["worker-1"][:2] == ("running", "Ready")
    assert document(standing_lab, "drift", "homelab")["in_sync"] is True


def test_a_lost_node_is_made_again_and_joins_again(standing_lab: Lab) -> None:
    standing_lab.zave("rehearse", "lose", "libvirt_domain", "zave-homelab-worker-2")
    healed = standing_lab.up()
    assert healed.exit_code == 0, healed.told()
    joins = [text for text in said(healed, "k3s") if text.startswith("join ")]
    assert [text.partition(":")[0] for text in joins] == ["join homelab-worker-2"]
    assert nodes(standing_lab)["worker-2"][:2] == ("running", "Ready")


def test_a_new_version_upgrades_one_node_at_a_time_control_plane_first(lab: Lab, project: Path) -> None:
    up(lab, project)
    write(project, version="v1.35.9+k3s1")
    planned = document(lab, "plan", "homelab", "--project", str(project))
    reasons = {action["step"]: action["reason"] for action in planned["actions"]}
    assert reasons["k3s"] == "k3s v1.35.8+k3s1 -> v1.35.9+k3s1"
    assert planned["machines"] == []

    upgraded = said(up(lab, project), "k3s")
    assert [text.partition(":")[0] for text in upgraded] == [
        "taking a snapshot of the datastore (simulated)",
        "upgrade homelab-control-plane-1",
        "upgrade homelab-worker-1",
        "upgrade homelab-worker-2",
    ]
    assert {shown[2] for shown in nodes(lab).values()} == {"v1.35.9+k3s1"}
    again = lab.up("--project", str(project))
    assert {d["outcome"] for d in again.documents if d["event"] == "step.finished"} == {"skipped"}


def test_changed_sizes_and_counts_are_previewed_and_done_in_place(lab: Lab, project: Path) -> None:
    up(lab, project)
    write(project, workers=3, memory="12GiB")
    planned = document(lab, "plan", "homelab", "--project", str(project))
    assert [(m["name"], m["change"], m["why"]) for m in planned["machines"]] == [
        ("homelab-worker-1", "restarted", "memory 8GiB -> 12GiB; switched off and on, not drained"),
        ("homelab-worker-2", "restarted", "memory 8GiB -> 12GiB; switched off and on, not drained"),
        ("homelab-worker-3", "added", "4 processors, 12GiB"),
    ]
    changed = up(lab, project)
    joins = [text for text in said(changed, "k3s") if text.startswith("join ")]
    assert [text.partition(":")[0] for text in joins] == ["join homelab-worker-3"]
    updates = [d for d in changed.documents if d["event"] == "resource" and d["action"] == "update"]
    # never both at once
    assert [d["state"] == "started" for d in updates if d["state"] != "progress"] == [True, False] * 2
    write(project, workers=1, memory="12GiB")
    planned = document(lab, "plan", "homelab", "--project", str(project))
    assert {m["change"] for m in planned["machines"]} == {"removed"}
    up(lab, project)
    assert sorted(nodes(lab)) == ["control-plane-1", "worker-1"]


def test_three_control_planes_join_one_after_the_other(lab: Lab, project: Path) -> None:
    write(project, control=3)
    joins = [text.partition(":")[0] for text in said(up(lab, project), "k3s") if text.startswith("join ")]
    assert joins == [
        "join homelab-control-plane-1",
        "join homelab-control-plane-2",
        "join homelab-control-plane-3",
        "join homelab-worker-1, homelab-worker-2",
    ]


def test_a_host_without_room_refuses_before_anything_is_made(lab: Lab, project: Path) -> None:
    write(project, memory="64GiB")
    refused = lab.up("--project", str(project))
    assert refused.exit_code == 5, refused.told()
    assert "nodes.worker.memory" in refused.complaint()
    assert not lab.standing()
    planned = document(lab, "plan", "homelab", "--project", str(project))
    assert [shortage["refused"] for shortage in planned["shortages"]] == [True]
    doctor = lab.zave("doctor", "homelab", "--rehearse", "-o", "json", "--project", str(project))
    assert doctor.exit_code == 5, doctor.told()


def test_a_refused_size_leaves_a_standing_lab_as_it_was(lab: Lab, project: Path) -> None:
    up(lab, project)
    write(project, memory="64GiB")
    assert lab.up("--project", str(project)).exit_code == 5
    (shown,) = document(lab, "status", "homelab")["environments"]
    assert shown["phase"] == "ready"


def test_a_bare_cluster_has_no_flux(lab: Lab, project: Path) -> None:
    write(project, profile="none")
    ended = up(lab, project)
    assert "gitops" not in {d["step"] for d in ended.documents if d["event"] == "step.finished"}
    with lab.world() as world:
        assert world.get_document("cluster", "homelab") is None
    write(project, profile="slim")
    up(lab, project)
    write(project, profile="none")
    # Flux would go on with what it was given
    refused = lab.up("--project", str(project))
    assert refused.exit_code == 5, refused.told()
    assert lab.down().exit_code == 0


def test_down_leaves_nothing_of_the_machines_in_the_world(standing_lab: Lab) -> None:
    assert standing_lab.zave("kubeconfig", "homelab", "--merge", "--rehearse").exit_code == 0
    ended = standing_lab.down()
    assert ended.exit_code == 0, ended.told()
    told = [d["text"] for d in ended.documents if d["event"] == "notice"]
    assert any("the context zave-homelab is still in" in text for text in told)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ssh", "homelab", "worker-1", "--", "uname", "-a"], "ssh to homelab-worker-1 (10.17.3.21)"),
        (["ssh", "homelab", "control-plane"], "ssh to homelab-control-plane-1"),
        (["ssh", "homelab", "homelab-worker-2"], "ssh to homelab-worker-2"),
        (["console", "homelab", "worker-1"], "homelab-worker-1 login:"),
        (["logs", "homelab", "--node", "worker-1"], "journalctl"),
    ],
)
def test_a_look_into_a_rehearsed_machine_says_that_it_is_simulated(
    standing_lab: Lab, words: list[str], says: str
) -> None:
    verb, *rest = words
    ended = standing_lab.zave(verb, "--rehearse", *rest)
    assert ended.exit_code == 0, ended.told()
    assert says in ended.stdout
    assert "simulated" in ended.stdout
    assert "rehearsal: " in ended.stderr


def test_an_unknown_or_unclear_machine_gets_the_names(standing_lab: Lab) -> None:
    for name in ("worker", "worker-9", "lab-worker-1"):
        refused = standing_lab.zave("ssh", "--rehearse", "homelab", name)
        assert refused.exit_code == 2, refused.told()
        assert "control-plane-1, worker-1, worker-2" in refused.stderr


def test_a_snapshot_is_restored_only_on_a_yes(standing_lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "lab.snapshot"
    assert standing_lab.zave("snapshot", "homelab", str(file), "--rehearse").exit_code == 0
    # never over another file
    assert standing_lab.zave("snapshot", "homelab", str(file), "--rehearse").exit_code == 2
    assert standing_lab.zave("restore", "homelab", str(file), "--rehearse").exit_code == 2
    restored = standing_lab.zave("restore", "homelab", str(file), "--rehearse", "--yes")
    assert restored.exit_code == 0, restored.told()
    assert document(standing_lab, "drift", "homelab")["in_sync"] is True


def test_a_new_control_plane_becomes_the_former_one_and_has_another_kubeconfig(
    standing_lab: Lab, tmp_path: Path
) -> None:
    file = tmp_path / "lab.snapshot"
    assert standing_lab.zave("snapshot", "homelab", str(file), "--rehearse").exit_code == 0
    with standing_lab.world() as world:
        assert world.lose("libvirt_domain", "zave-homelab-control-plane-1")
    assert standing_lab.up().exit_code == 0
    kubeconfig = Path(standing_lab.zave("kubeconfig", "homelab", "--rehearse").stdout.strip())
    assert kubeconfig.is_file()
    # off a terminal nobody agrees to it
    assert standing_lab.zave("restore", "homelab", str(file), "--rehearse").exit_code == 2
    assert kubeconfig.is_file()
    restored = standing_lab.zave("restore", "homelab", str(file), "--rehearse", "--yes")
    assert restored.exit_code == 0, restored.told()
    assert "its kubeconfig is another one now: zave up homelab fetches it" in restored.stderr
    assert not kubeconfig.exists()
    again = standing_lab.up()
    assert again.exit_code == 0, again.told()
    assert kubeconfig.is_file()
