"""AMIs in a made-up account: found by tag, removed with their snapshots, nobody else's touched."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.unit.images.conftest import Bench
from tests.unit.images.workbench import Workbench
from zave.errors import PreconditionError, StepFailedError, UsageError, ZaveError
from zave.images.amazon import AmazonImages
from zave.images.builder import AllImages
from zave.ports import Artifact

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")


@pytest.fixture(scope="module")
def account() -> Iterator[Any]:
    """An account in this process: a client takes a second to make."""
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        # moto would load AWS's own AMIs, for seconds
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        for name, value in settings.items():
            patch.setenv(name, value)
        yield boto3.client("ec2", region_name="us-east-1")


@pytest.fixture
def ec2(account: Any) -> Any:
    """The account, empty."""
    for image in account.describe_images(Owners=["self"])["Images"]:
        account.deregister_image(ImageId=image["ImageId"])
    for snapshot in account.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        account.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    return account


@pytest.fixture
def work(bench: Bench) -> Workbench:
    return Workbench(bench)


@pytest.fixture
def amazon(ec2: Any, work: Workbench) -> AmazonImages:
    return AmazonImages(ec2=lambda: ec2, workshop=work.workshop)


def ami(ec2: Any, name: str, *, fingerprint: str | None = None, accepted: bool = True) -> str:
    """An AMI with a snapshot, tagged as zave's template tags them where it has a fingerprint."""
    base = ec2.register_image(Name=f"base of {name}", RootDeviceName="/dev/sda1")["ImageId"]
    instance = ec2.run_instances(ImageId=base, MinCount=1, MaxCount=1)["Instances"][0]
    made: str = ec2.create_image(InstanceId=instance["InstanceId"], Name=name)["ImageId"]
    ec2.deregister_image(ImageId=base)
    if fingerprint is not None:
        tags = {"zave:image": "k3s-base", "zave:base": "ubuntu-24.04", "zave:fingerprint": fingerprint}
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        ec2.create_tags(Resources=[made, *snapshots_of(ec2, made)], Tags=pairs)
        if accepted:
            ec2.create_tags(Resources=[made], Tags=[{"Key": "zave:lynis", "Value": "80"}])
    return made


def snapshots_of(ec2: Any, image: str) -> list[str]:
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    return [device["Ebs"]["SnapshotId"] for device in found["BlockDeviceMappings"] if "Ebs" in device]


def own(ec2: Any) -> list[str]:
    return [image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]]


def there(ec2: Any, snapshot: str) -> bool:
    return snapshot in [s["SnapshotId"] for s in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]]


def test_an_ami_is_found_by_its_fingerprint(ec2: Any, amazon: AmazonImages, work: Workbench) -> None:
    request = work.request(builder="amazon-ebs")
    assert amazon.find(request) is None
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint)

    found = amazon.find(request)

    assert found is not None
    assert (found.location, found.name) == (made, "zave-k3s-base-1")
    assert amazon.find(work.request(builder="amazon-ebs", base="debian-12")) is None


def test_only_zaves_own_amis_are_listed(ec2: Any, amazon: AmazonImages, work: Workbench) -> None:
    ami(ec2, "somebody-elses")
    made = ami(ec2, "zave-k3s-base-1", fingerprint="f" * 64)
    work.build()

    assert [image.location for image in amazon.list()] == [made]
    everything = AllImages(work.images, lambda: amazon, list_amazon=True)
    assert made in [image.location for image in everything.list()]
    assert made not in [image.location for image in AllImages(work.images, lambda: amazon).list()]


def test_an_account_that_does_not_answer_hides_no_image_of_this_machine(
    amazon: AmazonImages, work: Workbench
) -> None:
    work.build()
    silent = replace(amazon, ec2=_no_credentials)
    told: list[ZaveError] = []
    images = AllImages(work.images, lambda: silent, list_amazon=True, unlisted=told.append)
    assert [image.location for image in images.list()] == [image.location for image in work.images.list()]
    assert len(told) == 1
    with pytest.raises(PreconditionError):
        AllImages(work.images, lambda: silent, list_amazon=True).list()


def _no_credentials() -> Any:
    from botocore.exceptions import NoCredentialsError

    raise NoCredentialsError


def test_an_ami_goes_with_its_snapshots_and_nothing_else(ec2: Any, amazon: AmazonImages) -> None:
    kept = ami(ec2, "somebody-elses")
    made = ami(ec2, "zave-k3s-base-1", fingerprint="f" * 64)
    snapshots = snapshots_of(ec2, made)
    assert snapshots
    [image] = amazon.list()

    amazon.remove(image)
    amazon.remove(image)

    assert own(ec2) == [kept]
    assert not any(there(ec2, snapshot) for snapshot in snapshots)
    assert all(there(ec2, snapshot) for snapshot in snapshots_of(ec2, kept))


def test_snapshots_of_a_removal_that_was_cut_off_go_with_the_next(ec2: Any, amazon: AmazonImages) -> None:
    made = ami(ec2, "zave-k3s-base-1", fingerprint="f" * 64)
    snapshots = snapshots_of(ec2, made)
    [image] = amazon.list()
    ec2.deregister_image(ImageId=made)
    assert all(there(ec2, snapshot) for snapshot in snapshots)

    amazon.remove(image)

    assert not any(there(ec2, snapshot) for snapshot in snapshots)


def test_snapshots_that_another_ami_shares_a_fingerprint_with_stay(ec2: Any, amazon: AmazonImages) -> None:
    ami(ec2, "zave-k3s-base-1", fingerprint="f" * 64)
    other = ami(ec2, "zave-k3s-base-2", fingerprint="f" * 64)
    [image] = [image for image in amazon.list() if image.location != other]

    amazon.remove(image)

    assert own(ec2) == [other]
    assert all(there(ec2, snapshot) for snapshot in snapshots_of(ec2, other))


def test_an_ami_without_zaves_tag_is_not_removed(ec2: Any, amazon: AmazonImages) -> None:
    made = ami(ec2, "somebody-elses")
    amazon.remove(Artifact("x", made, "sha256:", "", 0, ""))
    assert own(ec2) == [made]
    with pytest.raises(UsageError, match="not an AMI"):
        amazon.remove(Artifact("x", "/etc/passwd", "sha256:", "", 0, ""))


def test_a_build_takes_the_ami_that_packer_names(ec2: Any, amazon: AmazonImages, work: Workbench) -> None:
    request = work.request(builder="amazon-ebs")
    # what Packer would make while it runs
    made = ami(ec2, "zave-k3s-base-1")
    work.told(artifact={"builder-id": "mitchellh.amazonebs", "id": f"us-east-1:{made}"}, version="1.11.0")

    built = amazon.build(request, say=work.bench.say)

    assert built.location == made
    values = json.loads(work.given("values.json"))
    assert values["region"] == "us-east-1"
    assert set(values) == {"fingerprint", "manifest_directory", "region", "scripts_digest"}
    assert work.builds() == 1


def test_amis_of_an_old_packer_are_told_to_require_imdsv2(
    ec2: Any, amazon: AmazonImages, work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ami(ec2, "zave-k3s-base-1")
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.6.6")
    asked: list[dict[str, Any]] = []
    # moto knows the call only for launch permissions
    monkeypatch.setattr(ec2, "modify_image_attribute", lambda **call: asked.append(call))

    amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say)

    assert asked == [{"ImageId": made, "ImdsSupport": {"Value": "v2.0"}}]


def test_a_second_build_finds_the_first(ec2: Any, amazon: AmazonImages, work: Workbench) -> None:
    request = work.request(builder="amazon-ebs")
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint)
    assert amazon.build(request, say=work.bench.say).location == made
    assert work.builds() == 0


def test_an_ami_that_lynis_rejects_goes_and_is_never_current(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    """Packer registers and tags an AMI before anybody has judged it."""
    request = work.request(builder="amazon-ebs")
    finished = ami(ec2, "zave-k3s-base-other", fingerprint="e" * 64)
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, accepted=False)
    snapshots = snapshots_of(ec2, made)
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0", lynis=40)
    set_clock(work, ec2, made, hours=-0.5)

    assert amazon.find(request) is None
    with pytest.raises(StepFailedError, match="hardening index of 40"):
        amazon.build(request, say=work.bench.say)

    assert own(ec2) == [finished]
    assert not [each for each in snapshots if there(ec2, each)]
    # and the next run builds
    again = ami(ec2, "zave-k3s-base-2", fingerprint=request.fingerprint, accepted=False)
    work.told(artifact={"id": f"us-east-1:{again}"}, version="1.11.0", lynis=80)
    assert amazon.build(request, say=work.bench.say).location == again
    assert work.builds() == 2
    found = amazon.find(request)
    assert found is not None
    assert found.location == again


def test_the_ami_of_a_killed_build_goes_and_one_in_the_making_stays(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    request = work.request(builder="amazon-ebs")
    killed = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, accepted=False)
    made = ami(ec2, "zave-k3s-base-2")
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0")
    # by another machine, perhaps
    set_clock(work, ec2, killed, hours=1)
    assert amazon.build(request, say=work.bench.say).location == made
    assert killed in own(ec2)

    set_clock(work, ec2, killed, hours=4)
    assert amazon.build(request, say=work.bench.say).location == made
    assert own(ec2) == [made]
    assert f"removing {killed}" in work.bench.say.text


def set_clock(work: Workbench, ec2: Any, image: str, *, hours: float) -> None:
    """Move the clock to so many hours after an AMI was made."""
    [found] = ec2.describe_images(ImageIds=[image])["Images"]
    made, clock = datetime.fromisoformat(found["CreationDate"]), work.bench.clock
    clock.sleep((made - clock.now()).total_seconds() + hours * 3600)


def test_instances_of_killed_builds_are_ended_and_younger_ones_are_not(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    made = ami(ec2, "zave-k3s-base-1")
    started = ec2.run_instances(ImageId=made, MinCount=2, MaxCount=2)["Instances"]
    left, others = (each["InstanceId"] for each in started)
    ec2.create_tags(Resources=[left], Tags=[{"Key": "zave:image", "Value": "k3s-base"}])
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0")
    clock = work.bench.clock

    def state_of(instance: str) -> str:
        [found] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
        name: str = found["State"]["Name"]
        return name

    clock.sleep((started[0]["LaunchTime"] - clock.now()).total_seconds() + 3600)
    amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say)
    assert state_of(left) == "running"
    assert f"{left} builds an image as well" in work.bench.say.text

    clock.sleep(3 * 3600)
    amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say)
    assert state_of(left) == "terminated"
    assert state_of(others) == "running"


@pytest.mark.parametrize("named", ["", "ami-0123456789abcdef0", "us-east-1:../../x", "us-east-1:ami-nothex"])
def test_a_build_that_names_no_ami_fails(amazon: AmazonImages, work: Workbench, named: str) -> None:
    work.told(artifact={"id": named})
    with pytest.raises(StepFailedError, match="names no AMI"):
        amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say)


def test_an_ami_that_the_account_does_not_have_is_told(amazon: AmazonImages, work: Workbench) -> None:
    work.told(artifact={"id": "us-east-1:ami-0123456789abcdef0"}, version="1.11.0")
    with pytest.raises(StepFailedError, match="does not have it"):
        amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say)


@pytest.mark.usefixtures("ec2")
def test_refusals_and_missing_credentials_are_errors_for_people(
    work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError, NoCredentialsError

    class Refusing:
        """An EC2 that answers with `error`."""

        def __init__(self, error: Exception) -> None:
            self.error = error

        def describe_images(self, **_: object) -> None:
            raise self.error

    denied = ClientError(
        {"Error": {"Code": "UnauthorizedOperation", "Message": "\x1b[31mno"}}, "DescribeImages"
    )
    with pytest.raises(StepFailedError, match="could not list AMIs") as caught:
        AmazonImages(ec2=lambda: Refusing(denied), workshop=work.workshop).list()
    assert "UnauthorizedOperation" in (caught.value.details or "")
    assert "\x1b" not in (caught.value.details or "")
    with pytest.raises(PreconditionError, match="no AWS credentials"):
        AmazonImages(ec2=lambda: Refusing(NoCredentialsError()), workshop=work.workshop).list()
