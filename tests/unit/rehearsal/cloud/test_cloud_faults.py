"""AWS's own bad luck, in AWS's own words."""

import json
from typing import TYPE_CHECKING

import pytest

from zave.aws.state_lock import Belief, state_locks, wait_for_state_lock
from zave.rehearsal.bucket import bucket_folder
from zave.rehearsal.viewpoint import Viewpoint
from zave.rehearsal.world import World, WorldError

if TYPE_CHECKING:
    from tests.unit.rehearsal.cloud.conftest import Account
    from zave.rehearsal.cloud import SimulatedCloud


@pytest.mark.parametrize("fault", ["throttle all 3 times", "throttle aws_vpc 3 times"])
def test_a_little_throttling_only_costs_time(world: World, account: "Account", fault: str) -> None:
    world.faults.add(fault)
    started = world.clock.timestamp()
    account.make("aws_vpc", "v")
    assert world.clock.timestamp() - started == pytest.approx(0.5 + 1 + 2)
    assert world.faults.list() == []


def test_lasting_throttling_fails_with_awss_code(world: World, account: "Account") -> None:
    world.faults.add("throttle aws_vpc always")
    with pytest.raises(WorldError, match="attempts, 25: ThrottlingException: Rate exceeded"):
        account.make("aws_vpc", "v")
    account.make("aws_subnet", "s")
    assert account.of("aws_vpc") == []


@pytest.mark.parametrize(
    ("type_", "code"),
    [
        ("aws_vpc", "VpcLimitExceeded"),
        ("aws_eks_node_group", "VcpuLimitExceeded"),
        ("aws_eip", "AddressLimitExceeded"),
        ("aws_sqs_queue", "ServiceQuotaExceededException"),
    ],
)
def test_quota_is_used_up_until_it_is_raised(world: World, account: "Account", type_: str, code: str) -> None:
    fault = world.faults.add(f"quota {type_}")
    for name in ("a", "b"):
        with pytest.raises(WorldError, match=code):
            account.make(type_, name)
    account.make("aws_iam_policy", "other")
    world.faults.remove(fault)
    account.make(type_, "a")


def test_node_group_without_spot_capacity_stands_without_machines(world: World, account: "Account") -> None:
    account.network()
    world.faults.add("no spot capacity")
    with pytest.raises(WorldError, match=r"CREATE_FAILED.*UnfulfillableCapacity"):
        account.cluster(spot=True)
    assert len(account.of("aws_eks_node_group")) == 1
    assert account.of("aws_instance") == []


def test_node_group_on_demand_does_not_mind(world: World, account: "Account") -> None:
    account.network()
    world.faults.add("no spot capacity")
    account.cluster(spot=False)
    assert len(account.of("aws_instance")) == 2


def test_credentials_expire_after_so_many_calls_for_the_user_alone(world: World, account: "Account") -> None:
    world.faults.add("expire credentials after 2 calls")
    key = account.make("aws_vpc", "v").key
    world.read(key)
    for _ in range(2):
        with pytest.raises(WorldError, match="ExpiredToken"):
            world.delete(key)
    theirs = World.open(world.path, viewpoint=Viewpoint(caller="switch"))
    theirs.delete(key)
    theirs.close()
    assert account.of("aws_vpc") == []


def test_home_lab_minds_no_trouble_of_awss(world: World) -> None:
    from zave.rehearsal.world import Draft

    for fault in ("expire credentials", "region unreachable", "throttle all always"):
        world.faults.add(fault)
    world.create(Draft("libvirt", "libvirt_domain", "web", "web", {}, seconds=0))


def test_unreachable_region_refuses_terraform_as_well(world: World, account: "Account") -> None:
    world.faults.add("region unreachable once")
    with pytest.raises(WorldError, match="the region cannot be reached"):
        account.make("aws_vpc", "v")
    account.make("aws_vpc", "v")


def test_refused_deletion_has_awss_code(world: World, account: "Account") -> None:
    thing = account.make("aws_vpc", "v")
    world.faults.add("refuse delete aws_vpc")
    with pytest.raises(WorldError, match="OperationNotPermitted"):
        world.delete(thing.key)
    with pytest.raises(WorldError, match="OperationNotPermitted"):
        world.remove(thing.key)


@pytest.mark.parametrize(("fault", "hours"), [("lose lock", 0), ("stale lock", 6)])
def test_lost_lock_stays_in_the_bucket_as_terraform_writes_it(
    world: World, account: "Account", fault: str, hours: float
) -> None:
    world.faults.add(fault)
    account.make("aws_vpc", "v", instance="demo")
    path = bucket_folder(world) / "instances/demo/terraform.tfstate.tflock"
    lock = json.loads(path.read_text())
    assert set(lock) == {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"}
    assert lock["Path"] == "instances/demo/terraform.tfstate"
    assert path.stat().st_mtime == pytest.approx(world.clock.timestamp() - hours * 3600, abs=1)
    assert world.faults.list() == []


@pytest.mark.parametrize(("fault", "minutes"), [("lose lock", 30), ("stale lock", 0)])
def test_where_a_table_locks_a_lost_lock_stays_in_it_until_it_is_broken(
    world: World, account: "Account", cloud: "SimulatedCloud", fault: str, minutes: int
) -> None:
    account.switch()
    assert cloud.lock_table is None
    account.standing("aws_dynamodb_table", "zave-locks")
    assert cloud.lock_table is not None
    world.faults.add(fault)
    account.make("aws_vpc", "v", instance="demo")
    assert list(bucket_folder(world).rglob("*.tflock")) == []
    (lock,) = state_locks(cloud, "demo")
    assert state_locks(cloud, "demo-b") == []
    assert not cloud.lock_table.release("instances/demo/terraform.tfstate", b"another")

    begun, said = world.clock.now(), list[str]()
    wait_for_state_lock(
        cloud, world.clock, instance="demo", belief=Belief(1800), say=said.append, beat=lambda: None
    )
    assert (world.clock.now() - begun).total_seconds() == pytest.approx(60 * minutes, abs=1)
    assert said[-1].startswith("broke Terraform's lock")
    assert state_locks(cloud, "demo") == []
    (evidence,) = cloud.bucket.list("instances/demo/broken-locks/")
    assert cloud.bucket.get(evidence.key) == lock.content


def test_lock_of_what_has_no_tags_is_found_by_what_it_is_a_part_of(world: World, account: "Account") -> None:
    account.make("aws_iam_role", "nodes")
    attachment = account.make("aws_iam_role_policy", "p", instance=None, tags_all={}, role="nodes")
    world.faults.add("lose lock")
    world.delete(attachment.key)
    assert (bucket_folder(world) / "instances/demo/terraform.tfstate.tflock").exists()


def test_lock_of_the_account_is_its_own(world: World, account: "Account") -> None:
    world.faults.add("lose lock")
    account.standing("aws_sns_topic", "alarms")
    assert (bucket_folder(world) / "account/terraform.tfstate.tflock").exists()
