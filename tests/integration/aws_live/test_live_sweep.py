"""The sweep over boto3: all that an instance leaves behind is found and goes, nothing of anybody else's."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.integration.aws_live.leftovers import Leftovers
from tests.integration.aws_live.standing import pairs
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.aws.sweep import Sweep, Swept, belongs, identity_of, read_baseline, sort_items, take_baseline
from zave.errors import PreconditionError, StepFailedError
from zave.ports import Item

# each stands for a way in which something is left behind (aws.md of 2026-11-23, section 3)
KINDS = {
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_event_target",
    "aws_cloudwatch_log_group",
    "aws_db_instance",
    "aws_db_subnet_group",
    "aws_default_route_table",
    "aws_default_security_group",
    "aws_ebs_snapshot",
    "aws_ebs_volume",
    "aws_ecr_repository",
    "aws_eip",
    "aws_eks_cluster",
    "aws_eks_node_group",
    "aws_elb",
    "aws_iam_instance_profile",
    "aws_iam_openid_connect_provider",
    "aws_iam_policy",
    "aws_iam_role",
    "aws_iam_role_policy",
    "aws_iam_role_policy_attachment",
    "aws_instance",
    "aws_internet_gateway",
    "aws_kms_alias",
    "aws_kms_key",
    "aws_launch_template",
    "aws_lb",
    "aws_lb_listener",
    "aws_lb_target_group",
    "aws_nat_gateway",
    "aws_network_interface",
    "aws_route",
    "aws_route_table",
    "aws_route_table_association",
    "aws_security_group",
    "aws_sqs_queue",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_endpoint",
    "aws_vpc_security_group_egress_rule",
    "aws_vpc_security_group_ingress_rule",
}


def tags(instance: str) -> dict[str, str]:
    return {"zave:instance": instance, "zave:environment": "aws-demo", "zave:owner": "me@example.org"}


def sweep(cloud: LiveCloud, clock: FakeClock, baseline: Sequence[tuple[str, str]] = ()) -> Swept:
    return Sweep(cloud.inventory, clock, "demo", frozenset(baseline), lambda text: None).run()


def owned(items: Sequence[Item], instance: str | None) -> set[tuple[str, str]]:
    return {identity_of(item) for item in items if item.owner == instance and item.state == "present"}


def test_every_leftover_goes_and_nothing_of_anybody_elses(
    cloud: LiveCloud, api: Api, clock: FakeClock
) -> None:
    # the baseline: somebody's own cluster, and an environment whose name only begins like ours
    Leftovers(api, "production", cluster="production", cidr="10.1").make()
    Leftovers(api, "demo-b", tags=tags("demo-b"), cidr="10.2").make()
    take_baseline(cloud, "demo")
    before = {identity_of(item): item for item in cloud.inventory.items()}
    Leftovers(api, "demo", tags=tags("demo")).make()
    items = cloud.inventory.items()
    mine = [item for item in items if item.owner == "demo"]
    assert {item.type for item in mine} == KINDS
    # one and the same whatever else is in the account
    others = [item.type for item in items if item.owner == "demo-b"]
    assert sorted(others) == sorted(item.type for item in mine)

    swept = sweep(cloud, clock, list(read_baseline(cloud.bucket, "demo")))
    assert [refusal.reason for refusal in swept.left] == []
    assert [item.type for item in swept.accepted] == ["aws_kms_key"]
    assert {identity_of(item) for item in swept.deleted} | {identity_of(swept.accepted[0])} == {
        identity_of(item) for item in mine
    }
    after = {identity_of(item): item for item in cloud.inventory.items()}
    after.pop(identity_of(swept.accepted[0]))
    assert after == before


def test_what_stood_before_is_left_even_where_it_bears_our_tag(
    cloud: LiveCloud, api: Api, clock: FakeClock
) -> None:
    older = Leftovers(api, "demo", tags=tags("demo"))
    older.network()
    before = cloud.inventory.items()
    swept = sweep(cloud, clock, [identity_of(item) for item in before])
    assert swept.deleted == ()
    assert cloud.inventory.items() == before


def test_a_key_that_waits_for_its_deletion_is_accepted_with_its_date(
    cloud: LiveCloud, api: Api, clock: FakeClock
) -> None:
    Leftovers(api, "demo", tags=tags("demo")).services()
    swept = sweep(cloud, clock)
    (key,) = swept.accepted
    assert key.state == "pending-deletion"
    assert key.attributes["until"] > "2026"
    assert sweep(cloud, clock).deleted == ()


def test_what_is_refused_is_tried_again_in_the_next_pass(
    cloud: LiveCloud, api: Api, clock: FakeClock, server: MotoServer
) -> None:
    Leftovers(api, "demo", tags=tags("demo")).make()
    refusals = {
        "ec2:DeleteSecurityGroup": "DependencyViolation",
        "eks:DELETE /clusters": "ResourceInUseException",
        "elasticloadbalancing:DeleteLoadBalancer": "OperationNotPermitted",
        "kms:ScheduleKeyDeletion": "AccessDeniedException",
        "sqs:DeleteQueue": "RequestThrottled",
    }
    for call, code in refusals.items():
        server.refuse(call, code=code)
    swept = sweep(cloud, clock)
    assert swept.left == ()
    assert swept.passes > 1
    calls = server.calls()
    assert all(sum(made.startswith(call) for made in calls) > 1 for call in refusals)


def test_what_is_refused_for_good_is_told_with_its_reason(
    cloud: LiveCloud, api: Api, clock: FakeClock, server: MotoServer
) -> None:
    Leftovers(api, "demo", tags=tags("demo")).services()
    server.refuse("sqs:DeleteQueue", code="AccessDenied", times=1000)
    (left,) = sweep(cloud, clock).left
    assert left.item.type == "aws_sqs_queue"
    assert "AccessDenied" in left.reason
    command = cloud.inventory.how_to_delete(left.item)
    assert command.startswith("aws --region us-east-1 sqs delete-queue --queue-url ")
    assert left.item.id in command


def test_deleting_what_is_gone_is_fine(cloud: LiveCloud, api: Api, clock: FakeClock) -> None:
    Leftovers(api, "demo", tags=tags("demo")).make()
    items = [item for item in cloud.inventory.items() if item.owner == "demo"]
    sweep(cloud, clock)
    for item in items:
        cloud.inventory.delete(item)


_LISTS = (
    "ec2:DescribeVolumes",
    "eks:GET /clusters",
    "iam:ListRoles",
    "sqs:ListQueues",
    "tagging:GetResources",
)


@pytest.mark.parametrize("call", _LISTS)
def test_a_list_that_fails_is_never_taken_for_an_empty_one(
    call: str, cloud: LiveCloud, server: MotoServer
) -> None:
    server.refuse(call, code="AccessDeniedException", status=403)
    with pytest.raises(StepFailedError, match="is not complete") as refused:
        cloud.inventory.items()
    assert "AccessDenied" in (refused.value.details or "")
    assert cloud.inventory.items()


def test_credentials_that_end_in_the_middle_are_told_as_such(cloud: LiveCloud, server: MotoServer) -> None:
    server.refuse("rds:DescribeDBSnapshots", code="ExpiredToken", status=403)
    with pytest.raises(PreconditionError, match="have expired"):
        cloud.inventory.items()


def test_something_with_our_tag_that_zave_never_makes_is_seen(
    cloud: LiveCloud, api: Api, server: MotoServer
) -> None:
    arn = "arn:aws:elasticache:us-east-1:123456789012:cluster:cache"
    ghost = "arn:aws:sqs:us-east-1:123456789012:zave-demo-interruptions"
    mapping = [{"ResourceARN": each, "Tags": pairs(tags("demo"))} for each in (arn, ghost)]
    server.answer("tagging:GetResources", {"ResourceTagMappingList": mapping, "PaginationToken": ""})
    (seen,) = [item for item in cloud.inventory.items() if item.owner == "demo"]
    assert (seen.type, seen.id) == ("aws_elasticache_cluster", arn)
    with pytest.raises(StepFailedError, match="does not know"):
        cloud.inventory.delete(seen)
    assert arn in cloud.inventory.how_to_delete(seen)


def test_a_subnet_that_clusters_share_belongs_to_none_of_them(cloud: LiveCloud, api: Api) -> None:
    base = Leftovers(api, "production", cluster="production")
    base.network()
    api.call(
        "ec2",
        "create_tags",
        Resources=base.subnets,
        Tags=pairs({"kubernetes.io/cluster/zave-demo": "shared"}),
    )
    assert owned(cloud.inventory.items(), "demo") == set()


def test_standing_parts_of_another_region_are_not_this_ones(
    cloud: LiveCloud, api: Api, clock: FakeClock, server: MotoServer
) -> None:
    standing = {identity_of(item) for item in cloud.inventory.items() if item.standing}
    assert {kind for kind, _ in standing} >= {"aws_iam_role", "aws_iam_policy", "aws_s3_bucket"}
    there = LiveCloud(Api(region="eu-west-1", endpoint_url=server.url, attempts=1), clock=clock)
    # the bucket is the account's, whichever region asks
    assert {item.type for item in there.inventory.items() if item.standing} == {"aws_s3_bucket"}


def test_images_of_builds_stand_whoever_made_them(cloud: LiveCloud, api: Api, clock: FakeClock) -> None:
    image = api.call("ec2", "register_image", Name="k3s-base", RootDeviceName="/dev/xvda")["ImageId"]
    volume = api.call("ec2", "create_volume", AvailabilityZone="us-east-1a", Size=9)["VolumeId"]
    snapshot = api.call("ec2", "create_snapshot", VolumeId=volume)["SnapshotId"]
    marks = {"zave:image": "k3s-base", **tags("demo")}
    api.call("ec2", "create_tags", Resources=[image, snapshot], Tags=pairs(marks))
    standing = {item.id: item.owner for item in cloud.inventory.items() if item.standing}
    assert (standing[image], standing[snapshot]) == (None, None)
    sweep(cloud, clock)
    assert {item.id for item in cloud.inventory.items()} >= {image, snapshot}


@pytest.mark.parametrize(("hours", "leaks"), [(1, False), (5, True)])
def test_a_killed_builds_machine_is_a_leak_and_a_working_ones_is_not(
    hours: int, leaks: bool, cloud: LiveCloud, api: Api, clock: FakeClock
) -> None:
    image = api.call("ec2", "register_image", Name="any", RootDeviceName="/dev/xvda")["ImageId"]
    api.call(
        "ec2",
        "run_instances",
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": pairs({"zave:image": "k3s-base"})}],
    )
    clock.moment = datetime.now(UTC) + timedelta(hours=hours)
    (machine,) = [item for item in cloud.inventory.items() if item.type == "aws_instance"]
    assert machine.standing is not leaks
    found = sort_items(cloud.inventory.items(), alive={"demo"})
    # with its disk and its interface
    assert (machine.id in {item.id for item in found.leaks}) is leaks
    assert {item.owner for item in found.leaks} == ({"zave:image=k3s-base"} if leaks else set())
    # no instance's sweep takes another's build down
    assert not belongs(machine, "demo")
    assert not belongs(machine, "k3s-base")


def test_items_tell_what_prices_and_imports_need(cloud: LiveCloud, api: Api) -> None:
    Leftovers(api, "demo", tags=tags("demo")).make()
    mine = {(item.type, item.name): item for item in cloud.inventory.items() if item.owner == "demo"}
    imports = {
        ("aws_eks_cluster", "zave-demo"): "zave-demo",
        ("aws_eks_node_group", "zave-demo/zave-demo-nodes"): "zave-demo:zave-demo-nodes",
        ("aws_iam_role", "zave-demo-nodes"): "zave-demo-nodes",
        ("aws_iam_role_policy", "zave-demo-nodes/own"): "zave-demo-nodes:own",
        ("aws_kms_alias", "alias/zave-demo-secrets"): "alias/zave-demo-secrets",
        ("aws_ecr_repository", "zave-demo/apps"): "zave-demo/apps",
        ("aws_cloudwatch_event_rule", "default/zave-demo-spot"): "default/zave-demo-spot",
        ("aws_cloudwatch_event_target", "default/zave-demo-spot/queue"): "default/zave-demo-spot/queue",
        ("aws_db_instance", "zave-demo-db"): "zave-demo-db",
    }
    assert {key: mine[key].import_id for key in imports} == imports
    queue = mine["aws_sqs_queue", "zave-demo-interruptions"]
    assert queue.import_id == queue.id == queue.attributes["url"]
    wanted: dict[str, dict[str, str]] = {
        "aws_instance": {"instance_type": "t3.large", "tag:karpenter.sh/nodepool": "default"},
        "aws_ebs_volume": {"size": "9", "type": "gp3", "tag:CSIVolumeName": "pvc-1"},
        "aws_lb": {"load_balancer_type": "network"},
        "aws_db_instance": {"instance_class": "db.t4g.micro", "allocated_storage": "20"},
        "aws_eks_cluster": {"name": "zave-demo", "tag:zave:owner": "me@example.org"},
        "aws_vpc_endpoint": {"vpc_endpoint_type": "Gateway"},
    }
    for type_, attributes in wanted.items():
        told = [dict(item.attributes) for item in mine.values() if item.type == type_]
        assert any(attributes.items() <= each.items() for each in told), told
    dated = {item.type for item in mine.values() if item.created_at}
    assert dated >= {"aws_instance", "aws_ebs_volume", "aws_eks_cluster", "aws_lb", "aws_nat_gateway"}
