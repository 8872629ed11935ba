"""What exists under a planned name: ours is taken over or made again, somebody else's is left alone."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from zave.rehearsal.things import Draft
from zave.rehearsal.world import World

if TYPE_CHECKING:
    from tests.rehearsal.lab import Lab

THEIRS = "zave-homelab-worker-1"


@contextlib.contextmanager
def world_of(lab: Lab) -> Any:
    world = World.open(lab.state / "rehearsal" / "world.db")
    try:
        yield world
    finally:
        world.close()


def test_somebody_elses_machine_of_a_planned_name_is_refused_and_not_touched(lab: Lab) -> None:
    assert lab.zave("rehearse").exit_code == 0  # makes the world
    with world_of(lab) as world:
        theirs = world.create(
            Draft(
                provider="libvirt",
                type="libvirt_domain",
                name=THEIRS,
                unique=THEIRS,
                attributes={"name": THEIRS, "uuid": "11111111-2222-4333-8444-555555555555", "running": True},
                seconds=0,
            )
        )
    refused = lab.up()
    assert refused.exit_code == 5, refused.told()
    assert THEIRS in refused.error["brief"]
    assert "virsh" in refused.error["resolution"]
    assert lab.standing() == Counter({f"libvirt_domain {THEIRS}": 1})
    down = lab.down()
    assert down.exit_code == 0, down.told()
    with world_of(lab) as world:
        assert world.read(theirs.key) is not None


def test_another_instances_network_is_told_as_its_and_no_command_would_delete_it(standing_lab: Lab) -> None:
    parts = standing_lab.standing()
    refused = standing_lab.up("--name", "lab2")
    assert refused.exit_code == 5, refused.told()
    assert refused.error["brief"] == "libvirt_network zave-homelab belongs to instance homelab"
    assert "`libvirt.network.name` and `cidr`" in refused.error["resolution"]
    assert "environments/lab2/" in refused.error["resolution"]
    assert "virsh" not in refused.complaint()
    assert all(there in standing_lab.standing() for there in parts)


def terraform_of(lab: Lab) -> int:
    """The process id of the Terraform that applies in this lab."""
    while True:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = str(lab.state) in os.fsdecode((entry / "cwd").readlink())
                if here and b"apply" in words:
                    return int(entry.name)


@pytest.mark.parametrize("after", ["libvirt_network", "libvirt_domain"])
def test_a_terraform_that_dies_in_an_apply_leaves_nothing_that_is_made_twice(
    lab: Lab, homelab_parts: Counter[str], after: str
) -> None:
    process = lab.start("up", "homelab", "--rehearse", "--yes", "-o", "json", "--speed", "30")
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"started"' in line and f'"type": "{after}"' in line:
                os.kill(terraform_of(lab), signal.SIGKILL)
                break
        process.stdout.read()
        assert process.stderr is not None
        told = process.stderr.read()
    assert process.returncode == 1, told
    assert "SIGKILL" in told
    again = lab.up("--speed", "0")
    assert again.exit_code == 0, again.told()
    assert lab.standing() == homelab_parts
    drift = lab.zave("drift", "homelab", "--rehearse")
    assert drift.exit_code == 0, drift.told()
    assert lab.down().exit_code == 0
    assert lab.standing() == Counter()
