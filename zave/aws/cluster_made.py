"""What the controllers of a cluster made in AWS: no state of Terraform's knows it."""

from collections.abc import Sequence

from zave.ports import PENDING, Inventory, Item

# by type the tag that its controller puts on it: the AWS Load Balancer Controller, the EBS CSI driver and
# Karpenter (`aws.md` of 2026-11-23, section 3)
_MARKS = {
    "aws_lb": "elbv2.k8s.aws/cluster",
    "aws_ebs_volume": "ebs.csi.aws.com/cluster",
    "aws_instance": "karpenter.sh/nodepool",
}
# on its way out: the platform was asked, and nothing in the cluster holds it any more
_GOING = frozenset({PENDING, "terminating", "shutting-down", "deleting"})


def made_by_cluster(inventory: Inventory, instance: str) -> Sequence[Item]:
    """Load balancers, volumes of claims and Karpenter's machines of an instance, as far as they stand."""
    return [
        item
        for item in inventory.items()
        if item.owner == instance
        and item.type in _MARKS
        and item.state not in _GOING
        and f"tag:{_MARKS[item.type]}" in item.attributes
    ]
