"""The rehearsed EKS cluster: its nodes, and what it makes in the account."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.rehearsal.flux_world import flux_in, hand_over, take_back
from zave.errors import PreconditionError, StepFailedError, StuckError
from zave.rehearsal.aws_family import tags_of
from zave.rehearsal.cluster import SimulatedCluster
from zave.rehearsal.things import MADE_BY
from zave.rehearsal.world import World

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account

OUTSIDE = ("aws_lb", "aws_lb_listener", "aws_lb_target_group")


@pytest.fixture
def cluster(world: World, account: "Account") -> SimulatedCluster:
    account.network()
    account.cluster(nodes=2)
    return SimulatedCluster(world)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path


def _made(world: World, by: str) -> list[str]:
    things = world.things(provider="aws")
    return sorted(thing.type for thing in things if thing.attributes.get(MADE_BY) == by)


def test_nodes_are_the_machines_of_the_node_group(cluster: SimulatedCluster) -> None:
    nodes = cluster.nodes(instance="demo")
    assert [(node.role, node.state) for node in nodes] == [("worker", "Ready")] * 2
    for node in nodes:
        assert node.name == f"ip-{node.address.replace('.', '-')}.ec2.internal"
    assert cluster.nodes(instance="other") == []


def test_kubeconfig_names_the_clusters_endpoint(cluster: SimulatedCluster) -> None:
    outputs = {"cluster_endpoint": "https://0123.gr7.us-east-1.eks.amazonaws.com"}
    text = cluster.kubeconfig(instance="demo", outputs=outputs)
    assert outputs["cluster_endpoint"] in text
    with pytest.raises(StepFailedError, match="no control plane of other"):
        cluster.kubeconfig(instance="other", outputs=outputs)


def test_bootstrap_makes_a_load_balancer_and_volumes_in_the_account(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    hand_over(flux_in(world, tree), "demo", ["apps"])
    (balancer,) = account.of("aws_lb")
    assert balancer.state == "creating"
    assert balancer.attributes["load_balancer_type"] == "network"
    assert len(balancer.name) <= 32
    assert tags_of(balancer)["elbv2.k8s.aws/cluster"] == "zave-demo"
    assert _made(world, "service-controller") == sorted(
        [*OUTSIDE, "aws_network_interface", "aws_network_interface", "aws_security_group"]
    )
    addresses = {
        thing.attributes["public_ip"]
        for thing in account.of("aws_network_interface")
        if thing.attributes["description"].startswith("ELB net/k8s-gateway")
    }
    assert len(addresses) == 2
    volumes = [v for v in account.of("aws_ebs_volume") if v.attributes[MADE_BY] == "ebs-csi"]
    assert [volume.attributes["size"] for volume in volumes] == [10, 10]
    assert all(tags_of(volume)["ebs.csi.aws.com/cluster"] == "true" for volume in volumes)
    # again, and nothing is made twice
    before = len(world.things())
    hand_over(flux_in(world, tree), "demo", ["apps", "more"])
    assert len(world.things()) == before


def test_public_subnets_get_the_load_balancer(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    role = {"zave:instance": "demo", "kubernetes.io/role/elb": "1"}
    account.make(
        "aws_subnet", "edge", id="subnet-edge", vpc_id="vpc-demo", cidr_block="10.42.9.0/24", tags_all=role
    )
    hand_over(flux_in(world, tree), "demo", ["apps"])
    assert account.of("aws_lb")[0].attributes["subnets"] == ["subnet-edge"]


def test_teardown_takes_it_all_away_while_the_cluster_stands(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    before = {thing.key for thing in world.things()}
    world.faults.add("surge by 2 nodes")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    assert len(cluster.nodes(instance="demo")) == 4
    started = world.clock.timestamp()
    take_back(world, flux_in(world, tree), "demo")
    assert world.clock.timestamp() - started > 60
    assert {thing.key for thing in world.things()} == before
    order = [event.type for event in world.log() if event.verb in ("delete", "remove", "teardown")]
    # machines go last: the controllers that clean up may run on them
    assert max(order.index("aws_lb"), order.index("aws_ebs_volume")) < order.index("aws_instance")
    assert order.index("aws_instance") < order.index("aws_launch_template")
    assert order[-1] == "cluster"
    # gone already is fine
    take_back(world, flux_in(world, tree), "demo")


def test_what_is_not_torn_down_outlives_the_cluster(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    world.faults.add("surge by 1 node")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    assert len(account.of("aws_lb")) == 1
    assert len(account.of("aws_instance")) == 1
    volumes = [v for v in account.of("aws_ebs_volume") if v.attributes[MADE_BY] == "ebs-csi"]
    assert [volume.attributes["state"] for volume in volumes] == ["available", "available"]
    # nothing inside can be deleted any more
    take_back(world, flux_in(world, tree), "demo")
    assert len(account.of("aws_lb")) == 1


@pytest.mark.parametrize(
    ("fault", "types"),
    [
        (
            "leave load-balancer",
            sorted([*OUTSIDE, "aws_network_interface", "aws_network_interface", "aws_security_group"]),
        ),
        ("leave volume", ["aws_ebs_volume"]),
        (
            "leave instance",
            ["aws_ebs_volume", "aws_instance", "aws_network_interface", "aws_network_interface"],
        ),
    ],
)
def test_teardown_leaves_behind_what_a_fault_says(
    world: World, cluster: SimulatedCluster, tree: Path, fault: str, types: list[str]
) -> None:
    before = {thing.key for thing in world.things()}
    world.faults.add("surge by 1 nodes")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    world.faults.add(fault)
    take_back(world, flux_in(world, tree), "demo")
    left = sorted(thing.type for thing in world.things() if thing.key not in before)
    assert left == types


def test_karpenter_takes_the_profile_that_it_was_given(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    account.make("aws_iam_instance_profile", "zave-demo-provisioned")
    world.faults.add("surge by 1 node")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    assert [thing.name for thing in account.of("aws_iam_instance_profile")] == ["zave-demo-provisioned"]
    assert "aws_launch_template" in _made(world, "karpenter")


def test_karpenter_makes_a_profile_where_there_is_none_and_it_blocks_the_role(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    role = account.make("aws_iam_role", "zave-demo-nodes-role", assume_role_policy="ec2.amazonaws.com")
    world.faults.add("surge by 1 node")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    (profile,) = account.of("aws_iam_instance_profile")
    assert profile.attributes["role"] == role.name


def test_images_are_in_the_instances_own_repositories(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    account.make("aws_ecr_repository", "zave-demo/apps")
    account.make("aws_ecr_repository", "zave-other/apps", instance="other")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    assert world.documents("ecr.images") == {"zave-demo/apps": {"count": 1}}


def test_cluster_cannot_be_asked_with_expired_credentials(
    world: World, cluster: SimulatedCluster, tree: Path
) -> None:
    world.faults.add("expire credentials")
    with pytest.raises(PreconditionError, match="expired"):
        hand_over(flux_in(world, tree), "demo", ["apps"])
    with pytest.raises(PreconditionError, match="expired"):
        cluster.nodes(instance="demo")


def test_a_machine_that_may_not_be_ended_keeps_its_claim(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    world.faults.add("surge by 1 node")
    hand_over(flux_in(world, tree), "demo", ["apps"])
    world.faults.add("refuse delete aws_instance")
    with pytest.raises(StuckError, match=r"NodeClaim default-.*karpenter\.sh/termination"):
        take_back(world, flux_in(world, tree), "demo")
    assert account.of("aws_lb") == []
    world.faults.clear()
    take_back(world, flux_in(world, tree), "demo")
    assert flux_in(world, tree).presence(instance="demo") == "bare"
    assert _made(world, "karpenter") == []


def test_a_service_without_its_controller_keeps_its_load_balancer(
    world: World, account: "Account", cluster: SimulatedCluster, tree: Path
) -> None:
    """What goes wrong when a layer goes before what it cleans up after."""
    folder = tree / "clusters" / "demo" / "infrastructure-controllers"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text("resources:\n  - release.yaml\n")
    (folder / "release.yaml").write_text(
        "kind: HelmRelease\nmetadata:\n  name: aws-load-balancer-controller\n  namespace: kube-system\n"
    )
    flux = flux_in(world, tree)
    hand_over(flux, "demo", ["infrastructure-controllers", "apps"])
    (layer, *_) = flux.layers(instance="demo")
    flux.delete(instance="demo", what=layer)
    service = next(each for each in flux.holders(instance="demo") if each.kind == "Service")
    flux.delete(instance="demo", what=service)
    world.clock.sleep(9000)
    assert service.name in [each.name for each in flux.holders(instance="demo")]
    flux.release(instance="demo", what=service)
    assert service.name not in [each.name for each in flux.holders(instance="demo")]
    assert len(account.of("aws_lb")) == 1
