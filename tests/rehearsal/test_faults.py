"""Every fault, in `up` and `down`: a clear message, the right exit code, then the same command succeeds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rehearsal.lab import Lab


@dataclass(frozen=True)
class Case:
    """A fault that ends the command with 1, and what the message must name. `lasting` faults are cleared."""

    fault: str
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    lasting: bool = False


def _cases(*cases: Case) -> list[object]:
    return [pytest.param(case, id=case.fault.replace(" ", "-")) for case in cases]


IN_UP = _cases(
    Case("fail create libvirt_domain once", ("libvirt_domain", "homelab")),
    Case('fail create libvirt_volume with "disk on fire"', ("libvirt_volume", "disk on fire")),
    Case("crash provider on create libvirt_network", ("libvirt_network", "plugin")),
    Case("crash provider once", ("plugin",)),
    Case("hang create libvirt_domain", ("did not end in time",), arguments=("--step-timeout", "5s")),
    Case("hang create libvirt_network for 2s", ("libvirt_network", "time")),
    Case("fill pool always", ("free space", "pool"), lasting=True),
    Case("fail build image", ("image",)),
    Case("hang build image for 2s", ("image",)),
    Case('fail join k3s.homelab-worker-1 with "token rejected"', ("homelab-worker-1", "token rejected")),
    Case("hang join k3s for 1s", ("homelab-control-plane-1", "in time")),
    Case("fail reconcile * always", ("not ready",), lasting=True),
)
IN_DOWN = _cases(
    Case("fail delete libvirt_domain once", ("cannot delete domain", "zave-homelab")),
    Case('refuse delete libvirt_network with "in use"', ("libvirt_network", "in use"), lasting=True),
    Case("crash provider on delete libvirt_domain", ("plugin",)),
    Case("fail read libvirt_domain", ("libvirt_domain",)),
    Case("hang delete libvirt_volume", ("did not end in time",), arguments=("--step-timeout", "5s")),
)


@pytest.mark.parametrize("case", IN_UP)
def test_up_fails_clearly_and_then_goes_on(case: Case, lab: Lab, homelab_parts: Counter[str]) -> None:
    failed = lab.up("--fault", case.fault, *case.arguments)
    assert failed.exit_code == 1, failed.told()
    assert failed.error["exit_code"] == 1
    assert failed.error["resolution"], failed.told()
    _assert_says(failed.complaint(), case.words)

    _clear(lab, case)
    again = lab.up()
    assert again.exit_code == 0, again.told()
    assert lab.standing() == homelab_parts


@pytest.mark.parametrize("case", IN_DOWN)
def test_down_fails_clearly_and_then_goes_on(case: Case, standing_lab: Lab) -> None:
    failed = standing_lab.down("--fault", case.fault, *case.arguments)
    assert failed.exit_code == 1, failed.told()
    assert failed.error["resolution"], failed.told()
    _assert_says(failed.complaint(), case.words)
    # the user must learn what may still cost money although the teardown failed
    assert {
        f"{leak['type']} {leak['name']}" for leak in failed.receipt["leaks"]
    } <= standing_lab.standing().keys()

    _clear(standing_lab, case)
    again = standing_lab.down()
    assert again.exit_code == 0, again.told()
    assert again.receipt["leaks"] == []
    assert not standing_lab.standing()


def test_a_slow_creation_takes_longer_on_the_virtual_clock_only(lab: Lab) -> None:
    usual = lab.up()
    assert lab.down().exit_code == 0
    slow = lab.up("--fault", "slow create libvirt_domain by 50x always")
    assert slow.exit_code == 0, slow.told()
    assert slow.finished["virtual_seconds"] > usual.finished["virtual_seconds"] + 60
    assert slow.finished["seconds"] < 60


def test_a_slow_deletion_takes_longer_on_the_virtual_clock_only(standing_lab: Lab) -> None:
    slow = standing_lab.down("--fault", "slow delete libvirt_domain by 500x always")
    assert slow.exit_code == 0, slow.told()
    assert slow.finished["virtual_seconds"] > 100
    assert slow.finished["seconds"] < 60


@pytest.mark.parametrize("kind", ["libvirt_volume", "libvirt_network"])
def test_a_leak_is_told_with_exit_6_and_the_second_down_removes_it(kind: str, lab: Lab) -> None:
    # set in `up`, where nothing is deleted and it must do no harm
    assert lab.up("--fault", f"leak {kind}").exit_code == 0
    parts = lab.standing()

    leaking = lab.down()
    assert leaking.exit_code == 6, leaking.told()
    (leak,) = leaking.receipt["leaks"]
    assert leak["type"] == kind
    assert leak["how_to_delete"].startswith("virsh ")
    assert leak["name"] in leaking.complaint()
    assert lab.standing() == Counter([f"{kind} {leak['name']}"])
    assert len(leaking.receipt["deleted"]) >= parts.total() - 1

    sweep = lab.zave("sweep", "homelab", "--rehearse", "-o", "json")
    assert sweep.exit_code == 6, sweep.told()

    again = lab.down()
    assert again.exit_code == 0, again.told()
    assert not lab.standing()


def test_a_full_pool_does_not_hinder_a_teardown(standing_lab: Lab) -> None:
    ended = standing_lab.down("--fault", "fill pool always")
    assert ended.exit_code == 0, ended.told()
    assert not standing_lab.standing()


def test_a_lost_domain_is_drift_and_up_brings_it_back(standing_lab: Lab, homelab_parts: Counter[str]) -> None:
    domain = next(part for part in homelab_parts if part.startswith("libvirt_domain ")).split()[1]
    lost = standing_lab.zave("rehearse", "lose", "libvirt_domain", domain)
    assert lost.exit_code == 0, lost.told()

    drift = standing_lab.zave("drift", "homelab", "--rehearse", "-o", "json")
    assert drift.exit_code == 3, drift.told()
    assert domain in drift.stdout

    ended = standing_lab.up()
    assert ended.exit_code == 0, ended.told()
    assert standing_lab.standing() == homelab_parts


def _assert_says(complaint: str, words: tuple[str, ...]) -> None:
    missing = [word for word in words if word.lower() not in complaint.lower()]
    assert not missing, f"{missing} not in {complaint!r}"
    assert "Traceback" not in complaint


def _clear(lab: Lab, case: Case) -> None:
    if case.lasting:
        cleared = lab.zave("rehearse", "faults", "clear")
        assert cleared.exit_code == 0, cleared.told()
