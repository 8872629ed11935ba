"""What would cost a home lab its disks is shown before the question, and never done without it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal.lab import ZAVE
from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.store import StateStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rehearsal.lab import Ended, Lab

ENVIRONMENT = """\
platform: libvirt-k3s
image: {source: packer}
nodes:
  control-plane: {count: 1}
  worker: {count: 1, memory: %s}
gitops: {profile: none}
"""
IMAGES = Path(__file__).parents[2] / "packer-images" / "k3s-base"
MACHINES = ["homelab-control-plane-1", "homelab-worker-1"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with an image of its own."""
    project = tmp_path / "project"
    shutil.copytree(IMAGES, project / "packer-images" / "k3s-base")
    write(project)
    return project


@pytest.fixture
def standing(lab: Lab, project: Path) -> Lab:
    """A lab that stands on that image."""
    ended = up(lab, project)
    assert ended.exit_code == 0, ended.told()
    return lab


def write(project: Path, *, memory: str = "8GiB") -> None:
    file = project / "environments" / "homelab" / "environment.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ENVIRONMENT % memory)


def change_image(project: Path) -> None:
    with (project / "packer-images" / "k3s-base" / "scripts" / "harden-os.sh").open("a") as script:
        script.write("# another image\n")


def up(lab: Lab, project: Path) -> Ended:
    return lab.up("--project", str(project))


def planned(lab: Lab, project: Path) -> dict[str, Any]:
    ended = lab.zave("plan", "homelab", "--rehearse", "-o", "json", "--project", str(project))
    assert ended.exit_code == 0, ended.told()
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def fates(document: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    return {machine["name"]: (machine["change"], machine["loses_disk"]) for machine in document["machines"]}


def disks(lab: Lab) -> set[str]:
    with lab.world() as world:
        names = {thing.name for thing in world.things() if thing.type == "libvirt_volume"}
    return {name for name in names if name.endswith(".qcow2")}


def asked(lab: Lab, project: Path, *, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """`up` on a terminal: `meanwhile` happens while it waits for the yes. Exit code, and what it said."""
    parent, child = pty.openpty()
    words: list[str | Path] = [ZAVE, "up", "homelab", "--rehearse", "--project", str(project)]
    environment = {**lab.environment(), "TERM": "dumb", "COLUMNS": "400"}
    with subprocess.Popen(words, stdin=child, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        said = b""
        with suppress(OSError):  # the terminal's end
            while piece := os.read(parent, 4096):
                before, said = said, said + piece
                if b"[y/N]" in said and b"[y/N]" not in before:
                    meanwhile()
                    os.write(parent, b"y\n")
        os.close(parent)
    return process.returncode, said.decode(errors="replace")


def test_an_image_that_is_yet_to_be_made_is_planned_as_new_disks(standing: Lab, project: Path) -> None:
    assert fates(planned(standing, project)) == {}
    change_image(project)
    assert fates(planned(standing, project)) == dict.fromkeys(MACHINES, ("rebuilt", True))
    # and as the same disks once it is made: nothing was told too early or too late
    before = disks(standing)
    built = standing.zave("build-image", "--rehearse", "--project", str(project))
    assert built.exit_code == 0, built.told()
    assert disks(standing) == before
    assert fates(planned(standing, project)) == dict.fromkeys(MACHINES, ("rebuilt", True))


def test_the_question_names_the_disks_and_a_yes_is_enough(standing: Lab, project: Path) -> None:
    before = disks(standing)
    change_image(project)
    code, said = asked(standing, project)
    assert code == 0, said
    assert "DATA IS LOST" in said
    question = next(line for line in said.splitlines() if "[y/N]" in line)
    assert all(name in question for name in MACHINES), question
    assert not disks(standing) & before


def test_an_up_that_loses_no_disk_asks_of_none(standing: Lab, project: Path) -> None:
    before = disks(standing)
    write(project, memory="9GiB")
    code, said = asked(standing, project)
    assert code == 0, said
    assert "lost" not in said.lower()
    assert disks(standing) == before


def test_what_comes_up_after_the_question_stops_before_anything_is_lost(standing: Lab, project: Path) -> None:
    """As when a state is repaired between them: here Terraform learns that a disk is no good."""
    before = disks(standing)
    write(project, memory="9GiB")

    def taint() -> None:
        state = json.loads(standing.terraform_state.read_text())
        (disk,) = (
            instance
            for resource in state["resources"]
            if resource["type"] == "libvirt_volume" and resource["name"] == "disk"
            for instance in resource["instances"]
            if "worker-1" in instance["attributes"]["name"]
        )
        disk["status"] = "tainted"
        standing.terraform_state.write_text(json.dumps(state))

    code, said = asked(standing, project, meanwhile=taint)
    assert code == 5, said
    assert "homelab-worker-1" in said.rpartition("[y/N]")[2]
    assert disks(standing) == before
    shown = standing.zave("status", "homelab", "--rehearse", "-o", "json")
    assert json.loads(shown.stdout)["environments"][0]["phase"] == "ready"

    # the second one shows it, and is agreed to
    code, said = asked(standing, project)
    assert code == 0, said
    question = next(line for line in said.splitlines() if "[y/N]" in line)
    assert "homelab-worker-1" in question
    assert "homelab-control-plane-1" not in question


def test_with_yes_each_disk_that_goes_is_told(standing: Lab, project: Path) -> None:
    before = disks(standing)
    change_image(project)
    ended = up(standing, project)
    assert ended.exit_code == 0, ended.told()
    warnings = [d["text"] for d in ended.documents if d["event"] == "notice" and d["level"] == "warning"]
    assert any("lost" in text and all(name in text for name in MACHINES) for text in warnings), warnings
    assert not disks(standing) & before


def test_a_machine_that_is_gone_is_made_again_without_a_word_of_loss(standing: Lab, project: Path) -> None:
    standing.zave("rehearse", "lose", "libvirt_domain", "zave-homelab-worker-1")
    disk = next(name for name in disks(standing) if name.startswith("zave-homelab-worker-1-"))
    standing.zave("rehearse", "lose", "libvirt_volume", disk)
    code, said = asked(standing, project)
    assert code == 0, said
    assert "lost" not in said.partition("[y/N]")[0].lower()


@pytest.mark.parametrize("size", [0, 3000])
def test_a_state_that_a_crash_tore_is_planned_as_it_will_be_repaired(
    standing: Lab, project: Path, size: int
) -> None:
    """Terraform takes an empty state for none at all, and refuses a torn one before anybody is asked."""
    before = disks(standing)
    whole = standing.terraform_state.read_bytes()
    cut_off(standing)
    standing.terraform_state.write_bytes(whole[:size])
    change_image(project)
    document = planned(standing, project)
    assert fates(document) == dict.fromkeys(MACHINES, ("rebuilt", True))
    # a plan repairs nothing
    assert standing.terraform_state.read_bytes() == whole[:size]

    code, said = asked(standing, project)
    assert code == 0, said
    question = next(line for line in said.splitlines() if "[y/N]" in line)
    assert all(name in question for name in MACHINES), question
    assert not disks(standing) & before


def test_a_state_that_no_crash_explains_is_not_planned_from(standing: Lab, project: Path) -> None:
    standing.terraform_state.write_bytes(b"")
    ended = standing.zave("plan", "homelab", "--rehearse", "--project", str(project))
    assert ended.exit_code == 5, ended.told()
    assert "cannot be trusted" in ended.stderr


def cut_off(lab: Lab) -> None:
    """Record that an apply was cut off, as a killed zave leaves it."""
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(lab.state)}, rehearsal=True)
    store = StateStore.open(directory, clock=SystemClock())
    store.put_fact("homelab", "terraform.writing", "20261124T000000-000000")
    store.close()
