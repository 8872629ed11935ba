"""What must be so in the account before anything is made: the rehearsal looks at it as a real run does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.rehearsal.aws_lab import ZONE, AwsLab, switch_extras_on
from zave.rehearsal.facts import DOCUMENT


def told(lab: AwsLab, **facts: Any) -> None:
    """Let the account say something else of itself."""
    with lab.world() as world:
        world.put_document(*DOCUMENT, facts)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"spot_role": False}, "no service-linked role for spot instances"),
        ({"region_enabled": False}, "is not enabled in this account"),
        ({"quotas": {"spot vCPUs": 4}}, "spot vCPUs: 0 in use, 8 more are needed, 4 are allowed"),
        ({"quotas": {"VPCs": 0}}, "VPCs: 0 in use, 1 more are needed, 0 are allowed"),
    ],
)
def test_what_is_missing_in_the_account_stops_a_demo_before_anything_is_made(
    facts: dict[str, Any], reason: str, account_lab: AwsLab
) -> None:
    told(account_lab, **facts)
    before = account_lab.standing()
    refused = account_lab.zave("demo", "aws", "--rehearse", "--yes", "-o", "json")
    assert (refused.exit_code, reason in refused.told()) == (5, True), refused.told()
    assert account_lab.standing() == before
    doctor = account_lab.zave("doctor", "aws-demo", "--rehearse")
    assert (doctor.exit_code, reason in doctor.told()) == (5, True), doctor.told()
    plan = account_lab.zave("plan", "aws-demo", "--rehearse", "-o", "json")
    assert plan.exit_code == 0, plan.told()
    looked_at = json.loads(plan.stdout)["preconditions"]
    assert [reason in each["what"] for each in looked_at if each["refused"]] == [True], looked_at


def test_a_quota_that_holds_the_nodes_but_not_all_of_karpenter_warns(account_lab: AwsLab) -> None:
    told(account_lab, quotas={"spot vCPUs": 10, "on-demand vCPUs": 2})
    plan = account_lab.zave("plan", "aws-demo", "--rehearse", "-o", "json")
    looked_at = json.loads(plan.stdout)["preconditions"]
    (found,) = [each for each in looked_at if "Karpenter" in each["what"]]
    assert (found["level"], found["refused"]) == ("warning", False)
    assert "leave 4 beside the node group" in found["what"]
    doctor = account_lab.zave("doctor", "aws-demo", "--rehearse")
    assert (doctor.exit_code, "stay pending" in doctor.told()) == (0, True), doctor.told()


def test_a_demo_that_stands_is_no_leftover_of_its_own(demo_lab: AwsLab) -> None:
    doctor = demo_lab.zave("doctor", "aws-demo", "--rehearse")
    assert doctor.exit_code == 0, doctor.told()
    assert "leftovers" not in doctor.told()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"zones": {ZONE: None}}, f"the account has no hosted zone {ZONE}"),
        ({"zones": {ZONE: "example.net"}}, "demo.example.org is not in example.net"),
        ({"buckets": {"my-backups": None}}, "there is no bucket my-backups for backups"),
        ({"buckets": {"my-backups": "eu-west-1"}}, "the bucket my-backups is in eu-west-1"),
    ],
)
def test_what_extras_write_to_must_be_there_before_anything_is_made(
    facts: dict[str, Any], reason: str, account_lab: AwsLab, tmp_path: Path
) -> None:
    mine = switch_extras_on(account_lab, tmp_path / "mine")
    told(account_lab, **facts)
    before = account_lab.standing()
    refused = account_lab.demo(*mine)
    assert (refused.exit_code, reason in refused.told()) == (5, True), refused.told()
    assert account_lab.standing() == before
