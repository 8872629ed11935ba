"""A lock of Terraform's is believed as long as an apply may take, and no apply may take longer."""

import re
from collections.abc import Mapping

import pytest

from zave.aws.locks import LONGEST_APPLY, STALE_AFTER
from zave.project import Project

# what waits for what, one after another
WAY = (
    "aws_eks_cluster.this",
    "aws_eks_addon.before_nodes",
    "aws_eks_node_group.nodes",
    "aws_eks_addon.after_nodes",
)
# minutes that a subnet may take to go, after the cluster (aws.md of 2026-11-23, section 1)
SUBNET = 20


def waits() -> Mapping[str, Mapping[str, int]]:
    """Resource -> operation -> minutes for which Terraform waits, of those that say it."""
    folder = Project().path("terraform-modules/aws-eks")
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    found = {}
    for kind, name, body in re.findall(r'(?ms)^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', text):
        block = re.search(r"(?ms)^  timeouts \{\n(.*?)^  \}", body)
        if block is not None:
            pairs = re.findall(r'(\w+) += "(\d+)m"', block[1])
            found[f"{kind}.{name}"] = {operation: int(minutes) for operation, minutes in pairs}
    return found


@pytest.mark.parametrize(("operation", "more"), [("create", 0), ("update", 0), ("delete", SUBNET)])
def test_a_lock_is_believed_longer_than_all_that_an_apply_waits_for(operation: str, more: int) -> None:
    together = sum(waits()[name][operation] for name in WAY) + more
    assert together * 60 < LONGEST_APPLY


def test_a_silent_run_is_passed_over_before_its_terraform_is() -> None:
    assert STALE_AFTER < LONGEST_APPLY
