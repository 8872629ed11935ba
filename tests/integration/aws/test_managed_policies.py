"""Policies of AWS's own that the roots name: each must exist, or IAM refuses the attachment in mid-apply."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.aws.conftest import Demo

data = pytest.importorskip("moto.iam.aws_managed_policies", reason="moto is not installed")

NAMED = re.compile(r"arn:aws:iam::aws:policy/[\w+=,.@/-]+")
EXTRAS: dict[str, Any] = {
    "network": {"nat": "single"},
    "rds": {"enabled": True},
    "gitops": {
        "repository": "https://git.example.org/me/platform.git",
        "extras": ["external-dns", "velero"],
        "variables": {"velero_bucket": "my-backups", "velero_region": "us-east-1"},
    },
    "ingress": {"domain": "demo.example.org", "zone": "Z0123456789ABCDEFGHIJ"},
}


@pytest.fixture(scope="module")
def existing() -> set[str]:
    """The ARNs of AWS's managed policies, by the table that moto keeps of them."""
    table = json.loads(data.aws_managed_policies_data)
    return {f"arn:aws:iam::aws:policy{policy['Path']}{name}" for name, policy in table.items()}


def named(objects: dict[str, dict[str, Any]]) -> set[str]:
    """Every policy of AWS's own in what is planned, in whichever attribute."""
    return set(NAMED.findall(json.dumps([each["values"] for each in objects.values()])))


def test_every_policy_of_aws_that_a_demo_attaches_exists(
    demo_objects: dict[str, dict[str, Any]], existing: set[str]
) -> None:
    found = named(demo_objects)
    assert {arn.rpartition("/")[2] for arn in found} == {
        "AmazonEBSCSIDriverPolicyV2",
        "AmazonEC2ContainerRegistryPullOnly",
        "AmazonEKSClusterPolicy",
        "AmazonEKSWorkerNodePolicy",
        "AmazonEKS_CNI_Policy",
        "AmazonSSMManagedInstanceCore",
    }
    assert found <= existing


def test_so_does_every_one_of_a_demo_with_all_its_options_and_of_the_account(
    demo: Demo, account_objects: dict[str, dict[str, Any]], existing: set[str]
) -> None:
    demo.write_instance("demo", **EXTRAS)
    demo.terraform("demo", "init", "-input=false")
    rich = named(demo.managed("demo"))
    assert rich
    assert rich | named(account_objects) <= existing
