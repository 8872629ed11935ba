"""The account as a second reader sees it."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.rehearsal.flux_world import flux_in, hand_over
from zave.aws.commands import how_to_delete
from zave.errors import PreconditionError, StepFailedError
from zave.ports import Item
from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.viewpoint import Viewpoint
from zave.rehearsal.world import World

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account, Launcher


def _items(cloud: SimulatedCloud) -> dict[str, Item]:
    return {item.name: item for item in cloud.inventory.items()}


def test_everything_of_a_demo_is_its_own_whether_it_has_tags_or_not(
    world: World, account: "Account", cloud: SimulatedCloud, tmp_path: Any
) -> None:
    account.network()
    account.cluster()
    account.make("aws_iam_role", "zave-demo-nodes-role")
    account.make("aws_iam_role_policy", "p", instance=None, tags_all={}, role="zave-demo-nodes-role")
    world.faults.add("surge by 2 nodes")
    hand_over(flux_in(world, tmp_path), "demo", ["apps"])
    items = cloud.inventory.items()
    assert len(items) > 30
    assert {item.owner for item in items} == {"demo"}
    assert not any(item.standing for item in items)


def test_two_instances_are_kept_apart(account: "Account", cloud: SimulatedCloud) -> None:
    for instance in ("a", "a-b"):
        account.network(instance)
        account.cluster(instance)
    owners = [item.owner for item in cloud.inventory.items()]
    assert owners.count("a") == owners.count("a-b") == len(owners) / 2


def test_what_a_cluster_left_is_still_its_instances(
    world: World, account: "Account", cloud: SimulatedCloud
) -> None:
    account.network()
    account.cluster(nodes=1)
    world.faults.add("leave instance")
    world.delete(account.made["zave-demo-nodes"].key)
    world.delete(account.made["zave-demo"].key)
    left = [item for item in cloud.inventory.items() if item.attributes.get("made_by")]
    assert len(left) == 4
    assert {item.owner for item in left} == {"demo"}


def test_standing_parts_are_marked_with_what_belongs_to_them(
    account: "Account", cloud: SimulatedCloud
) -> None:
    account.switch()
    account.make("aws_s3_bucket_policy", "p", instance=None, tags_all={}, bucket="zave-state-123456789012")
    items = cloud.inventory.items()
    assert all(item.standing and item.owner is None for item in items)


def test_what_nobody_marked_belongs_to_nobody(account: "Account", cloud: SimulatedCloud) -> None:
    account.make("aws_instance", "somebody-elses", instance=None, tags_all={})
    (item,) = cloud.inventory.items()
    assert item.owner is None
    assert not item.standing


def test_attributes_are_text_without_secrets(account: "Account", cloud: SimulatedCloud) -> None:
    account.make(
        "aws_db_instance",
        "db",
        identifier="zave-demo-db",
        password="hunter2",
        multi_az=False,
        allocated_storage=20,
        subnets=["a", "b"],
        storage=[{"type": "gp3"}],
        nothing=None,
    )
    (item,) = cloud.inventory.items()
    assert "hunter2" not in str(item)
    shown = {"multi_az": "false", "allocated_storage": "20", "subnets": "a,b", "storage.type": "gp3"}
    assert shown.items() <= item.attributes.items()
    assert item.attributes["tag:zave:instance"] == "demo"
    assert "nothing" not in item.attributes
    assert item.import_id == "zave-demo-db"


def test_support_policy_is_where_prices_look_for_it(account: "Account", cloud: SimulatedCloud) -> None:
    account.network()
    account.cluster()
    assert _items(cloud)["zave-demo"].attributes["upgrade_policy"] == "STANDARD"


def test_deletion_takes_the_platforms_time(world: World, account: "Account", cloud: SimulatedCloud) -> None:
    account.network()
    account.cluster(nodes=1)
    items = _items(cloud)
    started = world.clock.timestamp()
    cloud.inventory.delete(items["zave-demo/zave-demo-nodes"])
    assert world.clock.timestamp() - started > 240
    cloud.inventory.delete(items["zave-demo"])
    assert world.clock.timestamp() - started > 300
    assert account.of("aws_eks_cluster") == account.of("aws_instance") == []
    # gone already is fine
    cloud.inventory.delete(items["zave-demo"])


def test_refused_deletion_says_why_and_how_to_go_on(account: "Account", cloud: SimulatedCloud) -> None:
    account.network()
    account.cluster(nodes=1)
    with pytest.raises(StepFailedError) as caught:
        cloud.inventory.delete(_items(cloud)["zave-demo-public-a"])
    error = caught.value
    assert error.details is not None
    assert "DependencyViolation" in error.details
    assert "aws-K8S-" in error.details
    assert "aws --region us-east-1 ec2 delete-subnet --subnet-id subnet-demo-a" in str(error.resolution)


def test_repository_is_emptied_when_it_is_swept(
    world: World, account: "Account", cloud: SimulatedCloud
) -> None:
    account.make("aws_ecr_repository", "apps", force_delete=False)
    world.put_document("ecr.images", "apps", {"count": 3})
    cloud.inventory.delete(_items(cloud)["apps"])
    assert cloud.inventory.items() == []


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (
            Item("aws_lb", "arn:lb", "n", attributes={"arn": "arn:lb"}),
            "elbv2 delete-load-balancer --load-balancer-arn arn:lb",
        ),
        (Item("aws_ebs_volume", "vol-1", "v"), "ec2 delete-volume --volume-id vol-1"),
        (
            Item("aws_iam_role_policy", "r:p", "r/p", attributes={"role": "r", "name": "p"}),
            "iam delete-role-policy --role-name r --policy-name p",
        ),
        (
            Item("aws_cloudwatch_log_group", "x", "/a b;rm"),
            "logs delete-log-group --log-group-name '/a b;rm'",
        ),
    ],
)
def test_command_lines_are_the_clis_and_quoted(item: Item, line: str) -> None:
    assert how_to_delete(item, region="eu-west-1") == f"aws --region eu-west-1 {line}"


def test_what_has_no_call_of_its_own_says_so() -> None:
    assert how_to_delete(Item("aws_eks_thing", "x", "y"), region="r").startswith("it goes with")


def test_expired_credentials_stop_the_user_and_not_the_switch(
    world: World, account: "Account", cloud: SimulatedCloud, launcher: "Launcher"
) -> None:
    account.switch()
    world.faults.add("expire credentials after 2 calls")
    cloud.caller()
    cloud.inventory.items()
    for call in (cloud.caller, cloud.inventory.items, lambda: cloud.bucket.list("")):
        with pytest.raises(PreconditionError, match="expired"):
            call()
    theirs = World.open(world.path, viewpoint=Viewpoint(caller="switch"))
    try:
        there = SimulatedCloud(theirs, region="us-east-1", account="123456789012", launch=launcher)
        assert "assumed-role" in there.caller().arn
        assert there.inventory.items()
    finally:
        theirs.close()


def test_unreachable_region_stops_everybody(
    world: World, account: "Account", cloud: SimulatedCloud, launcher: "Launcher"
) -> None:
    account.switch()
    world.faults.add("region unreachable 4 times")
    calls = (cloud.caller, cloud.inventory.items, cloud.switchboard.machinery)
    for call in calls:
        with pytest.raises(PreconditionError, match="cannot be reached"):
            call()
    theirs = World.open(world.path, viewpoint=Viewpoint(caller="switch"))
    with pytest.raises(PreconditionError, match="cannot be reached"):
        SimulatedCloud(theirs, region="us-east-1", account="1", launch=launcher).caller()
    theirs.close()
    assert cloud.caller().account == "123456789012"
