"""An AWS account in a world: a demo as Terraform makes it, and the standing parts."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from zave.ports.cloud import Schedule
from zave.rehearsal.cloud import SimulatedCloud
from zave.rehearsal.world import Draft, Thing, World

ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass
class Account:
    """Makes AWS things in a world as the provider would."""

    world: World
    made: dict[str, Thing] = field(default_factory=dict)

    def make(
        self, type_: str, name: str, *, instance: str | None = "demo", unique: bool = False, **more: Any
    ) -> Thing:
        tags = {"Name": name} | ({"zave:instance": instance} if instance else {})
        attributes = {"name": name, "tags": {"Name": name}, "tags_all": tags, **more}
        attributes.setdefault("id", f"{type_}-{name}")
        attributes.setdefault("arn", f"arn:aws:x:{REGION}:{ACCOUNT}:{type_}/{name}")
        draft = Draft("aws", type_, name, f"{REGION}/{name}" if unique else None, attributes, seconds=0)
        thing = self.made[name] = self.world.create(draft)
        return thing

    def standing(self, type_: str, name: str, **more: Any) -> Thing:
        return self.make(type_, name, instance=None, tags_all={"zave:standing": "true"}, **more)

    def network(self, instance: str = "demo") -> None:
        vpc = f"vpc-{instance}"
        self.make("aws_vpc", f"zave-{instance}-vpc", instance=instance, id=vpc)
        self.make(
            "aws_internet_gateway", f"zave-{instance}-internet", instance=instance, id="igw-1", vpc_id=vpc
        )
        for number, zone in enumerate("ab"):
            self.make(
                "aws_subnet",
                f"zave-{instance}-public-{zone}",
                instance=instance,
                id=f"subnet-{instance}-{zone}",
                vpc_id=vpc,
                cidr_block=f"10.42.{number}.0/24",
                availability_zone=f"{REGION}{zone}",
                map_public_ip_on_launch=True,
            )

    def cluster(
        self, instance: str = "demo", *, logs: bool = True, spot: bool = True, nodes: int = 2
    ) -> None:
        subnets = [f"subnet-{instance}-{zone}" for zone in "ab"]
        name = f"zave-{instance}"
        self.make("aws_cloudwatch_log_group", f"/aws/eks/{name}/cluster", instance=instance, unique=True)
        self.make(
            "aws_eks_cluster",
            name,
            instance=instance,
            id=name,
            arn=f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{name}",
            endpoint="https://0123.gr7.us-east-1.eks.amazonaws.com",
            enabled_cluster_log_types=["api"] if logs else [],
            upgrade_policy=[{"support_type": "STANDARD"}],
            vpc_config=[{"subnet_ids": subnets, "cluster_security_group_id": f"sg-{instance}"}],
        )
        self.make(
            "aws_launch_template",
            f"{name}-nodes",
            instance=instance,
            id=f"lt-{instance}",
            block_device_mappings=[{"ebs": [{"volume_size": 20, "volume_type": "gp3"}]}],
            tag_specifications=[{"resource_type": "volume", "tags": {"zave:instance": instance}}],
        )
        self.make(
            "aws_eks_node_group",
            f"{name}-nodes",
            instance=instance,
            cluster_name=name,
            node_group_name=f"{name}-nodes",
            subnet_ids=subnets[:1],
            capacity_type="SPOT" if spot else "ON_DEMAND",
            instance_types=["t3.large", "t3a.large"],
            launch_template=[{"id": f"lt-{instance}"}],
            scaling_config=[{"desired_size": nodes, "min_size": nodes, "max_size": 4}],
        )

    def switch(self) -> None:
        roles = [f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("zave-scheduler", "zave-destroyer")]
        self.standing("aws_s3_bucket", f"zave-state-{ACCOUNT}", bucket=f"zave-state-{ACCOUNT}")
        self.standing("aws_scheduler_schedule_group", "zave-switch")
        for arn in roles:
            boundary = f"arn:aws:iam::{ACCOUNT}:policy/zave-boundary"
            self.standing("aws_iam_role", arn.rpartition("/")[2], arn=arn, permissions_boundary=boundary)
        self.standing("aws_codebuild_project", "zave-destroyer", service_role=roles[1])
        self.standing("aws_sqs_queue", "zave-undelivered")
        topic = self.standing("aws_sns_topic", "zave-alarms")
        self.make(
            "aws_sns_topic_subscription",
            "mail",
            instance=None,
            tags_all={},
            topic_arn=topic.attributes["arn"],
            endpoint="alarms@example.org",
        )

    def of(self, type_: str) -> list[Thing]:
        return [thing for thing in self.world.things(provider="aws") if thing.type == type_]


@dataclass
class Launcher:
    """Stands for the child: `does` gets its environment and says how it ends."""

    does: Callable[[Mapping[str, str]], int] = lambda environment: 0
    calls: list[tuple[Sequence[str], Mapping[str, str]]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path) -> int:
        self.calls.append((argv, environment))
        assert cwd == Path(environment["HOME"])
        log.write_text("started\nlast words\x1b[2J\n")
        return self.does(environment)


def bundle(text: bytes = b"{}") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("manifest.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return packed.getvalue()


@pytest.fixture
def account(world: World) -> Account:
    return Account(world)


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def cloud(world: World, launcher: Launcher) -> SimulatedCloud:
    return SimulatedCloud(world, region=REGION, account=ACCOUNT, launch=launcher)


@pytest.fixture
def arm(cloud: SimulatedCloud, account: Account) -> Callable[..., Schedule]:
    """Arms an instance: `arm("demo", hours=48)`; the first also makes the standing parts."""

    def set_(instance: str, *, hours: float) -> Schedule:
        if not account.of("aws_codebuild_project"):
            account.switch()
        content = bundle(instance.encode())
        digest = hashlib.sha256(content).hexdigest()
        key = f"instances/{instance}/bundle-{digest}.tar.gz"
        cloud.bucket.put(key, content)
        now = datetime.fromtimestamp(account.world.clock.timestamp(), UTC)
        schedule = Schedule(instance, now + timedelta(hours=hours), key, digest)
        cloud.switchboard.set_schedule(schedule)
        return schedule

    return set_
