"""AMIs in a made-up account: found by tag, removed with their snapshots, nobody else's touched."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.images.amis import ami, own, snapshots_of, there
from tests.unit.images.workbench import Workbench
from zave.errors import PreconditionError, StepFailedError, UsageError, ZaveError
from zave.images.amazon import AmazonImages
from zave.images.builder import AllImages
from zave.ports import Artifact


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
    assert (values["region"], values["build_token"]) == ("us-east-1", "token-1")
    assert set(values) == {"build_token", "fingerprint", "manifest_directory", "region", "scripts_digest"}
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
    told: list[str] = []
    with pytest.raises(StepFailedError, match="could not list AMIs") as caught:
        AmazonImages(lambda: Refusing(denied), work.workshop, tell=told.append).list()
    assert "UnauthorizedOperation" in (caught.value.details or "")
    assert "\x1b" not in (caught.value.details or "")
    with pytest.raises(PreconditionError, match="no AWS credentials"):
        AmazonImages(lambda: Refusing(NoCredentialsError()), work.workshop, tell=told.append).list()
