"""Terraform's state damaged before `down`: refused with a way out, nothing lost, and the way out works."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rehearsal.lab import Lab


def _truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _gone(path: Path) -> None:
    path.unlink()


def _without_resources(path: Path) -> None:
    state = json.loads(path.read_bytes())
    path.write_text(json.dumps(state | {"resources": [], "serial": state["serial"] + 1}))


def _older(path: Path) -> None:
    state = json.loads(path.read_bytes())
    path.write_text(json.dumps(state | {"serial": 1, "resources": state["resources"][:2]}))


def _foreign(path: Path) -> None:
    state = json.loads(path.read_bytes())
    path.write_text(json.dumps(state | {"lineage": str(uuid.uuid4())}))


def _not_json(path: Path) -> None:
    path.write_bytes(b"\x00\xff" * 4096)


@pytest.mark.parametrize(
    "damage", [_truncated, _emptied, _gone, _without_resources, _older, _foreign, _not_json]
)
def test_down_refuses_a_damaged_state_and_recovers_when_told(
    damage: Callable[[Path], None], standing_lab: Lab
) -> None:
    before = standing_lab.standing()
    damage(standing_lab.terraform_state)
    left = standing_lab.terraform_state.read_bytes() if standing_lab.terraform_state.exists() else None

    refused = standing_lab.down()
    assert refused.exit_code == 5, refused.told()
    assert "--recover" in refused.error["resolution"], refused.told()
    assert standing_lab.standing() == before
    # evidence: a refusal leaves the file as it found it
    now = standing_lab.terraform_state.read_bytes() if standing_lab.terraform_state.exists() else None
    assert now == left

    recovered = standing_lab.down("--recover")
    assert recovered.exit_code == 0, recovered.told()
    assert recovered.receipt["leaks"] == []
    assert {f"{item['type']} {item['name']}" for item in recovered.receipt["deleted"]} >= before.keys()
    assert not standing_lab.standing()


def test_up_refuses_a_damaged_state_as_well(standing_lab: Lab) -> None:
    before = standing_lab.standing()
    _emptied(standing_lab.terraform_state)
    domain = next(part for part in before if part.startswith("libvirt_domain ")).split()[1]
    # something to do, so that the state is looked at
    assert standing_lab.zave("rehearse", "lose", "libvirt_domain", domain).exit_code == 0

    refused = standing_lab.up()
    assert refused.exit_code == 5, refused.told()
    assert standing_lab.standing() == before - Counter([f"libvirt_domain {domain}"])
