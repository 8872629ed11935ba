"""What AWS makes and takes away by itself."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.things import MADE_BY
from zave.rehearsal.world import World, WorldError

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account


def _made_by(world: World, who: str) -> list[str]:
    return [thing.type for thing in world.things(provider="aws") if thing.attributes.get(MADE_BY) == who]


def test_cluster_brings_interfaces_and_its_group_and_takes_them_along(
    world: World, account: "Account"
) -> None:
    account.network()
    account.cluster(nodes=0)
    assert sorted(_made_by(world, "eks")) == [
        "aws_network_interface",
        "aws_network_interface",
        "aws_security_group",
    ]
    descriptions = {thing.attributes["description"] for thing in account.of("aws_network_interface")}
    assert descriptions == {"Amazon EKS zave-demo"}
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    assert _made_by(world, "eks") == []


def test_cluster_and_what_comes_with_it_are_one_event(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=0)
    events = [event for event in world.log() if event.verb == "create"]
    cluster = next(event for event in events if event.type == "aws_eks_cluster")
    along = [event for event in events if event.type == "aws_network_interface"]
    assert {event.virtual_at for event in along} == {cluster.virtual_at}
    assert [event.seq for event in along] == [cluster.seq + 2, cluster.seq + 3]


def test_node_group_brings_machines_with_volume_and_interfaces(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=2)
    machines = account.of("aws_instance")
    assert len(machines) == 2
    for machine in machines:
        attributes = machine.attributes
        assert attributes["instance_type"] == "t3.large"
        assert attributes["instance_lifecycle"] == "spot"
        assert attributes["tags"]["kubernetes.io/cluster/zave-demo"] == "owned"
        assert attributes["public_ip"].startswith("203.0.113.")
        assert attributes["private_ip"].startswith("10.42.0.")
    assert len({machine.attributes["private_ip"] for machine in machines}) == 2
    assert [volume.attributes["size"] for volume in account.of("aws_ebs_volume")] == [20, 20]
    assert all(v.attributes["tags"]["zave:instance"] == "demo" for v in account.of("aws_ebs_volume"))
    secondary = [t for t in account.of("aws_network_interface") if t.attributes[MADE_BY] == "vpc-cni"]
    assert {t.attributes["description"] for t in secondary} == {
        f"aws-K8S-{machine.attributes['id']}" for machine in machines
    }
    world.delete(account.made["zave-demo-nodes"].key)
    assert account.of("aws_instance") == account.of("aws_ebs_volume") == []
    assert _made_by(world, "vpc-cni") == []


def test_node_group_on_demand_has_no_spot_machines(account: "Account") -> None:
    account.network()
    account.cluster(spot=False)
    assert [machine.attributes["instance_lifecycle"] for machine in account.of("aws_instance")] == [None] * 2


@pytest.mark.parametrize("wanted", [0, 1, 4])
def test_scaled_node_group_has_as_many_machines(world: World, account: "Account", wanted: int) -> None:
    account.network()
    account.cluster(nodes=2)
    group = account.made["zave-demo-nodes"]
    scaling = [{"desired_size": wanted, "min_size": 0, "max_size": 4}]
    world.update(group.key, {**group.attributes, "scaling_config": scaling})
    assert len(account.of("aws_instance")) == len(account.of("aws_ebs_volume")) == wanted


@pytest.mark.parametrize(
    ("fewest", "wanted", "most", "words"),
    [
        (3, 2, 4, "Minimum capacity 3 can't be greater than desired size 2"),
        (1, 5, 4, "desired capacity 5 can't be greater than max size 4"),
    ],
)
def test_eks_refuses_sizes_that_do_not_fit(
    world: World, account: "Account", fewest: int, wanted: int, most: int, words: str
) -> None:
    account.network()
    account.cluster(nodes=2)
    group = account.made["zave-demo-nodes"]
    scaling = [{"desired_size": wanted, "min_size": fewest, "max_size": most}]
    with pytest.raises(WorldError, match=words):
        world.update(group.key, {**group.attributes, "scaling_config": scaling})
    found = world.read(group.key)
    assert found is not None
    assert found.attributes["scaling_config"] == group.attributes["scaling_config"]
    assert len(account.of("aws_instance")) == 2


def test_interfaces_carry_the_tags_that_the_cni_was_told(world: World, account: "Account") -> None:
    account.network()
    settings = {"env": {"ADDITIONAL_ENI_TAGS": json.dumps({"zave:instance": "demo"})}}
    account.make(
        "aws_eks_addon",
        "cni",
        cluster_name="zave-demo",
        addon_name="vpc-cni",
        configuration_values=json.dumps(settings),
    )
    account.cluster(nodes=1)
    (interface,) = (t for t in account.of("aws_network_interface") if t.attributes[MADE_BY] == "vpc-cni")
    assert interface.attributes["tags"]["zave:instance"] == "demo"


def test_logs_come_back_while_the_cluster_writes_them(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=0)
    world.delete(account.made["/aws/eks/zave-demo/cluster"].key)
    (group,) = account.of("aws_cloudwatch_log_group")
    assert group.attributes[MADE_BY] == "eks"
    assert group.attributes["tags"] == {}
    # it has the name: Terraform cannot make another
    with pytest.raises(WorldError, match="already exists"):
        account.make("aws_cloudwatch_log_group", group.name, unique=True)


@pytest.mark.parametrize(("logs", "cluster"), [(False, True), (True, False)])
def test_logs_stay_away_when_nobody_writes_them(
    world: World, account: "Account", logs: bool, cluster: bool
) -> None:
    account.network()
    account.cluster(nodes=0, logs=logs)
    if not cluster:
        world.delete(account.made["zave-demo-nodes"].key)
        world.delete(account.made["zave-demo"].key)
    world.delete(account.made["/aws/eks/zave-demo/cluster"].key)
    assert account.of("aws_cloudwatch_log_group") == []


def test_eks_makes_the_log_group_where_terraform_did_not(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=0)
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    world.delete(account.made["/aws/eks/zave-demo/cluster"].key)
    old = account.made["zave-demo"]
    account.make("aws_eks_cluster", "zave-demo", **{k: old.attributes[k] for k in ("vpc_config", "arn")})
    assert account.of("aws_cloudwatch_log_group") == []
    account.make(
        "aws_eks_cluster",
        "zave-other",
        enabled_cluster_log_types=["api"],
        vpc_config=old.attributes["vpc_config"],
    )
    assert [t.name for t in account.of("aws_cloudwatch_log_group")] == ["/aws/eks/zave-other/cluster"]


def test_deleted_key_waits_and_is_gone_for_terraform(
    world: World, account: "Account", cloud: SimulatedCloud
) -> None:
    key = account.make("aws_kms_key", "secrets", key_id="k-1", deletion_window_in_days=7)
    world.delete(key.key)
    assert world.read(key.key) is None
    assert world.lookup("aws_kms_key", "key_id", "k-1") is None
    (item,) = cloud.inventory.items()
    assert item.state == "pending-deletion"
    assert item.owner == "demo"
    assert item.attributes["until"] > item.created_at  # type: ignore[operator]
    cloud.inventory.delete(item)
    world.clock.advance(7 * 86400)
    assert cloud.inventory.items() == []


def test_children_without_tags_go_with_their_parent(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=0)
    account.make("aws_eks_addon", "dns", cluster_name="zave-demo", addon_name="coredns")
    table = account.make("aws_route_table", "public", id="rtb-1", vpc_id="vpc-demo")
    account.make("aws_route", "r", route_table_id="rtb-1")
    account.make("aws_route", "other", route_table_id="rtb-2")
    world.delete(table.key)
    assert [thing.name for thing in account.of("aws_route")] == ["other"]
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    assert account.of("aws_eks_addon") == []


# left behind


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ("leave interface", ["aws_network_interface"]),
        ("leave instance", ["aws_ebs_volume", "aws_instance"] + ["aws_network_interface"] * 2),
    ],
)
def test_node_group_leaves_behind_what_a_fault_says(
    world: World, account: "Account", fault: str, left: list[str]
) -> None:
    account.network()
    account.cluster(nodes=2)
    world.faults.add(fault)
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    types = ("aws_instance", "aws_ebs_volume", "aws_network_interface")
    assert sorted(thing.type for type_ in types for thing in account.of(type_)) == left
    assert world.faults.list() == []


def test_forgotten_interface_is_available_and_blocks_its_subnet(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=1)
    world.faults.add("leave interface")
    world.delete(account.made["zave-demo-nodes"].key)
    (interface,) = (t for t in account.of("aws_network_interface") if t.attributes[MADE_BY] == "vpc-cni")
    assert interface.attributes["status"] == "available"
    assert interface.attributes["description"].startswith("aws-K8S-")
    subnet = account.made["zave-demo-public-a"]
    with pytest.raises(WorldError, match="DependencyViolation"):
        world.remove(subnet.key)


def test_left_log_group_comes_back_after_the_cluster(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=0)
    world.faults.add("leave log-group")
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    world.delete(account.made["/aws/eks/zave-demo/cluster"].key)
    (group,) = account.of("aws_cloudwatch_log_group")
    world.remove(group.key)
    assert account.of("aws_cloudwatch_log_group") == []


# what stands in the way


Blocked = Callable[["Account"], str]


def _subnet(account: "Account") -> str:
    return account.made["zave-demo-public-a"].key


def _gateway(account: "Account") -> str:
    return account.made["zave-demo-internet"].key


def _vpc(account: "Account") -> str:
    return account.made["zave-demo-vpc"].key


def _cluster(account: "Account") -> str:
    return account.made["zave-demo"].key


def _role(account: "Account") -> str:
    account.make("aws_iam_instance_profile", "p", role="nodes")
    return account.make("aws_iam_role", "nodes").key


def _attached_role(account: "Account") -> str:
    account.make("aws_iam_role_policy_attachment", "a", role="nodes", policy_arn="arn:p")
    return account.make("aws_iam_role", "nodes").key


def _policy(account: "Account") -> str:
    account.make("aws_iam_role_policy_attachment", "a", role="nodes", policy_arn="arn:p")
    return account.make("aws_iam_policy", "p", arn="arn:p").key


def _rule(account: "Account") -> str:
    account.make("aws_cloudwatch_event_target", "t", rule="r")
    return account.make("aws_cloudwatch_event_rule", "r").key


def _address(account: "Account") -> str:
    account.make("aws_nat_gateway", "n", allocation_id="eipalloc-1")
    return account.make("aws_eip", "e", id="eipalloc-1").key


def _volume(account: "Account") -> str:
    return account.of("aws_ebs_volume")[0].key


def _interface(account: "Account") -> str:
    return account.of("aws_network_interface")[0].key


def _group(account: "Account") -> str:
    return account.of("aws_security_group")[0].key


BLOCKED: list[tuple[Blocked, str, float]] = [
    (_subnet, "DependencyViolation: The subnet", 20 * 60),
    (_gateway, "mapped public address", 20 * 60),
    (_vpc, "DependencyViolation: The vpc", 5 * 60),
    (_group, "DependencyViolation: resource sg-demo has a dependent object", 15 * 60),
    (_cluster, "ResourceInUseException: Cluster has nodegroups attached", 0),
    (_role, "DeleteConflict: Cannot delete entity, must remove roles from instance profile", 0),
    (_attached_role, "must detach all policies", 0),
    (_policy, "DeleteConflict", 0),
    (_rule, "has targets", 0),
    (_address, "InvalidIPAddress.InUse", 60),
    (_volume, "VolumeInUse", 0),
    (_interface, "currently in use", 0),
]


@pytest.mark.parametrize(("thing", "said", "patience"), BLOCKED, ids=[said for _, said, _ in BLOCKED])
def test_deletion_is_refused_while_something_is_in_the_way(
    world: World, account: "Account", thing: Blocked, said: str, patience: float
) -> None:
    account.network()
    account.cluster(nodes=1)
    key = thing(account)
    started = world.clock.timestamp()
    with pytest.raises(WorldError, match=said):
        world.remove(key)
    # whoever calls the API himself is told at once, Terraform's provider tries again
    assert world.clock.timestamp() == started
    with pytest.raises(WorldError, match=said):
        world.delete(key)
    assert patience <= world.clock.timestamp() - started <= patience + 30
    assert world.read(key) is not None


def test_terraform_waits_for_what_goes_meanwhile(world: World, account: "Account") -> None:
    import threading

    account.network()
    account.cluster(nodes=1)
    waiting = threading.Thread(target=lambda: world.delete(account.made["zave-demo-internet"].key))
    waiting.start()
    world.delete(account.made["zave-demo-nodes"].key)
    waiting.join()
    assert account.of("aws_internet_gateway") == []


@pytest.mark.parametrize(
    ("type_", "force", "code"),
    [
        ("aws_ecr_repository", "force_delete", "RepositoryNotEmptyException"),
        ("aws_s3_bucket", "force_destroy", "BucketNotEmpty"),
    ],
)
def test_what_is_not_empty_goes_with_force_only(
    world: World, account: "Account", type_: str, force: str, code: str
) -> None:
    world.put_document("ecr.images", "full", {"count": 1})
    account.make("aws_s3_object", "o", bucket="full", key="k")
    no: dict[str, Any] = {force: False}
    refused = account.make(type_, "full", bucket="full", **no)
    with pytest.raises(WorldError, match=code):
        world.delete(refused.key)
    world.remove(refused.key)
    world.put_document("ecr.images", "full", {"count": 1})
    yes: dict[str, Any] = {force: True}
    forced = account.make(type_, "full", bucket="full", **yes)
    world.delete(forced.key)
    assert account.of(type_) == []


def test_interrupted_wait_for_a_blocked_deletion_ends(world: World, account: "Account") -> None:
    account.network()
    account.cluster(nodes=1)
    world.clock.set_speed(1)
    world.cancel()
    with pytest.raises(WorldError, match="cancelled: delete subnet"):
        world.delete(account.made["zave-demo-public-a"].key)
