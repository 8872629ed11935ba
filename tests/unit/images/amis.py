"""AMIs in a made-up account: zave's, a vendor's, anybody's."""

from datetime import datetime
from typing import Any

from tests.unit.images.workbench import Workbench

OWNER = "099720109477"
"""The vendor's account."""


def ami(
    ec2: Any,
    name: str,
    *,
    fingerprint: str | None = None,
    accepted: bool = True,
    token: str | None = None,
    source: str | None = None,
) -> str:
    """An AMI with a snapshot, tagged as zave's template tags them where it has a fingerprint."""
    base = ec2.register_image(Name=f"base of {name}", RootDeviceName="/dev/sda1")["ImageId"]
    instance = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1)["Instances"][0]
    made: str = ec2.create_image(InstanceId=instance["InstanceId"], Name=name)["ImageId"]
    ec2.deregister_image(ImageId=base)
    if fingerprint is not None:
        tags = {"zave:image": "k3s-base", "zave:base": "ubuntu-24.04", "zave:fingerprint": fingerprint}
        more = {"zave:build": token, "zave:source": source}
        tags |= {key: value for key, value in more.items() if value is not None}
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        ec2.create_tags(Resources=[made, *snapshots_of(ec2, made)], Tags=pairs)
        if accepted:
            ec2.create_tags(Resources=[made], Tags=[{"Key": "zave:lynis", "Value": "80"}])
    return made


def vendors(ec2: Any, name: str, made: str, **changes: str) -> str:
    """An AMI of the vendor's, made on the day `made`; moto lets nobody register one for another account."""
    from moto.backends import get_backend
    from moto.core.models import DEFAULT_ACCOUNT_ID

    found: str = ec2.register_image(Name=name, RootDeviceName="/dev/sda1")["ImageId"]
    kind = {"architecture": "x86_64", "root_device_type": "ebs", "virtualization_type": "hvm"}
    facts = {"owner_id": OWNER, "creation_date": datetime.fromisoformat(made), **kind, **changes}
    for key, value in facts.items():
        setattr(get_backend("ec2")[DEFAULT_ACCOUNT_ID]["us-east-1"].amis[found], key, value)
    return found


def snapshots_of(ec2: Any, image: str) -> list[str]:
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    return [device["Ebs"]["SnapshotId"] for device in found["BlockDeviceMappings"] if "Ebs" in device]


def own(ec2: Any) -> list[str]:
    return [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]]


def there(ec2: Any, snapshot: str) -> bool:
    return snapshot in [s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


def set_clock(work: Workbench, ec2: Any, image: str, *, hours: float) -> None:
    """Move the clock to so many hours after an AMI was made."""
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    made, clock = datetime.fromisoformat(found["CreationDate"]), work.bench.clock
    clock.sleep((made - clock.now()).total_seconds() + hours * 3600)
