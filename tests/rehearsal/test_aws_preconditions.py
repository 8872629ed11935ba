"""What must be so in the account before anything is made: the rehearsal looks at it as a real run does."""

from typing import Any

import pytest

from tests.rehearsal.aws_lab import AwsLab
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


def test_a_demo_that_stands_is_no_leftover_of_its_own(demo_lab: AwsLab) -> None:
    doctor = demo_lab.zave("doctor", "aws-demo", "--rehearse")
    assert doctor.exit_code == 0, doctor.told()
    assert "leftovers" not in doctor.told()
