"""A demo with names in Route 53 and backups: its pods have their roles, and nothing of them stays."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.rehearsal.aws_lab import INSTANCE, switch_extras_on
from zave.clock import SystemClock
from zave.state.directory import StateDirectory
from zave.state.store import StateStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rehearsal.aws_lab import AwsLab, Stages

ROLES = {
    "external-dns/external-dns": f"zave-{INSTANCE}-dns",
    "velero/velero-server": f"zave-{INSTANCE}-backups",
}


def identities(lab: AwsLab) -> dict[str, str]:
    """The role of each service account that has one, without those of add-ons."""
    return {
        f"{part.attributes['namespace']}/{part.attributes['service_account']}": str(
            part.attributes["role_arn"]
        ).rpartition("/")[2]
        for part in lab.parts()
        if part.type == "aws_eks_pod_identity_association"
    }


@pytest.mark.parametrize("by_switch", [False, True], ids=["down", "switch"])
def test_a_demo_with_both_extras_comes_up_and_leaves_nothing(
    by_switch: bool, stages: Stages, tmp_path: Path
) -> None:
    lab = stages.begin("account")
    up = lab.demo("--ttl", "48h", *switch_extras_on(lab, tmp_path / "mine"))
    assert up.exit_code == 0, up.told()
    ready = {d["address"] for d in up.documents if d["event"] == "resource" and d["state"] == "done"}
    assert {"HelmRelease external-dns/external-dns", "HelmRelease velero/velero"} <= ready
    assert ROLES.items() <= identities(lab).items()

    if by_switch:
        # the destroyer works from its bundle, and is told of no zone and of no bucket
        lab.ok("rehearse", "advance", "49h")
        [told] = lab.in_bucket(f"instances/{INSTANCE}/receipts").values()
    else:
        down = lab.end()
        assert down.exit_code == 0, down.told()
        told = down.receipt
    assert told["leaks"] == []
    assert lab.parts() == []
    gone = json.dumps(told["deleted"])
    assert all(role in gone for role in ROLES.values())


def test_extras_that_are_switched_off_lose_their_roles(stages: Stages, tmp_path: Path) -> None:
    lab = stages.begin("account")
    assert lab.demo(*switch_extras_on(lab, tmp_path / "mine")).exit_code == 0
    again = lab.demo()
    assert again.exit_code == 0, again.told()
    assert not ROLES.keys() & identities(lab).keys()


def test_the_shipped_demo_has_no_role_for_what_it_does_not_install(demo_lab: AwsLab) -> None:
    assert not ROLES.keys() & identities(demo_lab).keys()


def test_a_demo_that_was_recorded_before_a_zone_was_asked_for_comes_down(
    stages: Stages, tmp_path: Path
) -> None:
    lab = stages.begin("account")
    mine = switch_extras_on(lab, tmp_path / "mine")
    assert lab.demo("--ttl", "48h", *mine).exit_code == 0
    directory = StateDirectory(lab.state / "rehearsal", base=lab.state)
    with closing(StateStore.open(directory, clock=SystemClock())) as store:
        record = store.instance(INSTANCE)
        assert record is not None
        ingress = {key: value for key, value in record.spec["ingress"].items() if key != "zone"}
        store.save_instance(replace(record, spec={**record.spec, "ingress": ingress}))

    assert lab.status()["phase"] == "ready"
    down = lab.end(*mine)
    assert down.exit_code == 0, down.told()
    assert (down.receipt["leaks"], lab.parts()) == ([], [])
