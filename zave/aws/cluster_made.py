"""What the controllers of a cluster made in AWS: no state of Terraform's knows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zave.aws.sweep import Identity, Sweep
from zave.clock import Clock
from zave.ports import PENDING, Inventory, Item

# by type the tag that its controller puts on it: the AWS Load Balancer Controller, the EBS CSI driver and
# Karpenter (`aws.md` of 2026-11-23, section 3)
_MARKS = {
    "aws_lb": "elbv2.k8s.aws/cluster",
    "aws_ebs_volume": "ebs.csi.aws.com/cluster",
    "aws_instance": "karpenter.sh/nodepool",
}
# what comes with those and keeps a network from going, by the same source
_BESIDE = {
    "aws_lb_target_group": "elbv2.k8s.aws/cluster",
    "aws_security_group": "elbv2.k8s.aws/cluster",
    "aws_network_interface": "cluster.k8s.amazonaws.com/name",
}
# on its way out: the platform was asked, and nothing in the cluster holds it any more
_GOING = frozenset({PENDING, "terminating", "shutting-down", "deleting"})


def made_by_cluster(inventory: Inventory, instance: str) -> Sequence[Item]:
    """Load balancers, volumes of claims and Karpenter's machines of an instance, as far as they stand."""
    return [
        item
        for item in inventory.items()
        if item.owner == instance and item.state not in _GOING and _marked(item, _MARKS)
    ]


@dataclass(frozen=True)
class ClusterFirst:
    """For a cluster that did not delete what it made: it ends first, then that, and the network last.

    In any other order the controllers that still live make anew what is deleted, and Terraform waits 20
    minutes for a subnet in which a load balancer stands. `baseline` is what is older than the instance,
    `targets` the part of the root that has the cluster: what depends on it goes with it, the network stays.
    """

    inventory: Inventory
    clock: Clock
    instance: str
    baseline: Callable[[], frozenset[Identity]]
    targets: tuple[str, ...] = ("module.cluster",)

    def needed(self) -> bool:
        """Whether anything stands that the cluster should have deleted."""
        return bool(made_by_cluster(self.inventory, self.instance))

    def clear(self, *, say: Callable[[str], None], beat: Callable[[], None]) -> None:
        """Delete it, once nothing makes it anew. What resists is left to the sweep at the end."""
        Sweep(
            self.inventory,
            self.clock,
            self.instance,
            self.baseline(),
            say=say,
            beat=beat,
            only=lambda item: _marked(item, {**_MARKS, **_BESIDE}),
        ).run()


def _marked(item: Item, marks: dict[str, str]) -> bool:
    return item.type in marks and f"tag:{marks[item.type]}" in item.attributes
