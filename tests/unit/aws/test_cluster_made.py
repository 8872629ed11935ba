"""What a cluster made outside of itself goes after the cluster, and nothing else goes with it."""

from collections.abc import Callable

from tests.unit.aws.memory import Account
from zave.aws.cluster_made import ClusterFirst, made_by_cluster
from zave.ports import Item

Make = Callable[..., Item]
BALANCER = {"tag:elbv2.k8s.aws/cluster": "zave-demo"}
MACHINE = {"tag:karpenter.sh/nodepool": "default"}


def cluster_first(account: Account, *older: tuple[str, str]) -> ClusterFirst:
    return ClusterFirst(account.inventory, account.clock, "demo", baseline=lambda: frozenset(older))


def test_it_is_needed_while_something_of_the_clusters_stands(account: Account, item: Make) -> None:
    account.make("demo")
    assert not cluster_first(account).needed()
    going = item("demo", "aws_instance", id="going", state="terminating", attributes=MACHINE)
    account.inventory.add(item("other", "aws_lb", attributes=BALANCER), going)
    assert not cluster_first(account).needed()
    # beside a load balancer, no reason of its own: it costs nothing, and holds nothing but the network
    account.inventory.add(item("demo", "aws_security_group", attributes=BALANCER))
    assert not cluster_first(account).needed()
    account.inventory.add(item("demo", "aws_instance", id="machine", attributes=MACHINE))
    assert cluster_first(account).needed()
    assert [each.id for each in made_by_cluster(account.inventory, "demo")] == ["machine"]


def test_only_what_bears_a_controllers_tag_goes(account: Account, item: Make) -> None:
    account.make("demo")
    kept = {
        *account.inventory.there,
        "older",
        "theirs",
        "plain",
    }
    account.inventory.add(
        item("demo", "aws_lb", id="older", attributes=BALANCER),
        item("other", "aws_lb", id="theirs", attributes=BALANCER),
        # of Terraform's own
        item("demo", "aws_security_group", id="plain"),
        item("demo", "aws_lb", id="balancer", attributes=BALANCER),
        item("demo", "aws_lb_target_group", id="targets", attributes=BALANCER),
        item("demo", "aws_security_group", id="group", attributes=BALANCER),
        item("demo", "aws_instance", id="machine", attributes=MACHINE),
        item(
            "demo",
            "aws_network_interface",
            id="interface",
            attributes={"tag:cluster.k8s.amazonaws.com/name": "zave-demo"},
        ),
    )
    account.inventory.needs["group"] = ("balancer", "interface")
    account.inventory.needs["interface"] = ("machine",)
    cluster_first(account, ("aws_lb", "older")).clear(say=account.said.append, beat=lambda: None)
    assert set(account.inventory.there) == kept
    assert "sweep: deleting aws_lb zave-demo-aws_lb" in account.said


def test_what_resists_is_left_to_the_sweep_at_the_end(account: Account, item: Make) -> None:
    account.inventory.add(item("demo", "aws_lb", id="balancer", attributes=BALANCER))
    account.inventory.refuse.add("aws_lb")
    cluster_first(account).clear(say=account.said.append, beat=lambda: None)
    assert set(account.inventory.there) == {"balancer"}
