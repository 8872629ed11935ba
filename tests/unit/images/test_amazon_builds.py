"""AMIs of builds that failed or were killed, and of a base that is no longer its vendor's newest."""

from typing import Any

import pytest

from tests.unit.images.amis import OWNER, ami, own, set_clock, snapshots_of, there, vendors
from tests.unit.images.workbench import Workbench
from zave.errors import StepFailedError
from zave.images.amazon import AmazonImages
from zave.images.amazon_base import VendorAmi
from zave.images.builder import AllImages
from zave.lifecycle.build_image import outdated, remove_images

NAME = "noble-amd64-server"


# what nobody accepted


def test_an_ami_that_lynis_rejects_goes_and_is_never_current(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    """Packer registers and tags an AMI before anybody has judged it."""
    request = work.request(builder="amazon-ebs")
    finished = ami(ec2, "zave-k3s-base-other", fingerprint="e" * 64)
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, accepted=False, token="token-1")
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


def test_a_build_that_fails_removes_nothing_of_another_machines(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    """Two machines build the same image at once, and neither is accepted yet."""
    request = work.request(builder="amazon-ebs")
    both = {"fingerprint": request.fingerprint, "accepted": False}
    mine = ami(ec2, "zave-k3s-base-1", **both, token="token-1")  # type: ignore[arg-type]
    theirs = ami(ec2, "zave-k3s-base-2", **both, token="their-token")  # type: ignore[arg-type]
    work.told(artifact={"id": f"us-east-1:{mine}"}, version="1.11.0", lynis=40)
    set_clock(work, ec2, mine, hours=-0.5)

    with pytest.raises(StepFailedError, match="hardening index"):
        amazon.build(request, say=work.bench.say)

    assert own(ec2) == [theirs]


def test_the_ami_of_a_killed_build_goes_whatever_it_was_made_from(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    """The scripts were edited since: its fingerprint is nobody's any more."""
    request = work.request(builder="amazon-ebs")
    killed = ami(ec2, "zave-k3s-base-1", fingerprint="d" * 64, accepted=False)
    made = ami(ec2, "zave-k3s-base-2")
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0")
    # in the making on another machine, perhaps
    set_clock(work, ec2, killed, hours=1)
    assert amazon.build(request, say=work.bench.say).location == made
    assert killed in own(ec2)

    set_clock(work, ec2, killed, hours=4)
    assert amazon.build(request, say=work.bench.say).location == made
    assert own(ec2) == [made]
    assert f"removing {killed}" in work.bench.say.text


def test_one_that_cannot_be_removed_keeps_nobody_from_building(
    ec2: Any, amazon: AmazonImages, work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    killed = ami(ec2, "zave-k3s-base-1", fingerprint="d" * 64, accepted=False)
    made = ami(ec2, "zave-k3s-base-2")
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0")
    set_clock(work, ec2, killed, hours=4)

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "OperationNotPermitted", "Message": "no"}}, "DeregisterImage")

    monkeypatch.setattr(ec2, "deregister_image", refuse)
    assert amazon.build(work.request(builder="amazon-ebs"), say=work.bench.say).location == made
    assert f"{killed} stays" in work.bench.say.text


def test_prune_never_counts_a_rejected_ami_for_an_accepted_one(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    accepted = ami(ec2, "zave-k3s-base-ubuntu-24.04-20261101", fingerprint="a" * 64)
    rejected = ami(ec2, "zave-k3s-base-ubuntu-24.04-20261102", fingerprint="b" * 64, accepted=False)
    images = AllImages(work.images, lambda: amazon, list_amazon=True)
    set_clock(work, ec2, rejected, hours=1)
    assert [image.location for image in images.list()] == [accepted]
    # it may be in the making
    assert images.leftovers() == []

    set_clock(work, ec2, rejected, hours=4)
    [leftover] = images.leftovers()
    assert (leftover.location, leftover.why) == (rejected, "an AMI that was not accepted")
    going = outdated(images.list(), keep=1, users={})
    assert going == []
    remove_images(going, images, leftovers=[leftover])
    assert own(ec2) == [accepted]


def test_a_leftover_that_was_accepted_meanwhile_stays(
    ec2: Any, amazon: AmazonImages, work: Workbench
) -> None:
    made = ami(ec2, "zave-k3s-base-1", fingerprint="a" * 64, accepted=False)
    set_clock(work, ec2, made, hours=4)
    [leftover] = amazon.leftovers()
    ec2.create_tags(Resources=[made], Tags=[{"Key": "zave:lynis", "Value": "80"}])
    amazon.discard(leftover)
    assert own(ec2) == [made]


def test_an_account_that_does_not_answer_is_told_once(amazon: AmazonImages, work: Workbench) -> None:
    def silent() -> AmazonImages:
        raise StepFailedError("the account does not answer")

    told: list[object] = []
    images = AllImages(work.images, silent, list_amazon=True, unlisted=told.append)
    assert (list(images.list()), list(images.leftovers()), len(told)) == ([], [], 1)
    with pytest.raises(StepFailedError):
        AllImages(work.images, silent, list_amazon=True).leftovers()


def test_an_ami_that_is_not_encrypted_is_refused(
    ec2: Any, amazon: AmazonImages, work: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the variable file names another device than the root, EC2 encrypts a second disk."""
    request = work.request(builder="amazon-ebs")
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, accepted=False, token="token-1")
    set_clock(work, ec2, made, hours=-0.5)
    work.told(artifact={"id": f"us-east-1:{made}"}, version="1.11.0")
    describe = ec2.describe_images

    def as_ec2_says(**call: Any) -> Any:
        # moto leaves it out
        found = describe(**call)
        for image in found["Images"]:
            for device in image["BlockDeviceMappings"]:
                device.get("Ebs", {})["Encrypted"] = False
        return found

    monkeypatch.setattr(ec2, "describe_images", as_ec2_says)
    with pytest.raises(StepFailedError, match="is not encrypted: /dev/sda1") as caught:
        amazon.build(request, say=work.bench.say)
    assert "root_device" in (caught.value.resolution or "")
    assert own(ec2) == []


# what it is built on


@pytest.fixture
def based(work: Workbench) -> Workbench:
    """A machine whose image names the vendor's AMI."""
    (work.image / "ubuntu-24.04.pkrvars.hcl").write_text(
        f'distribution = "ubuntu-24.04"\nami_owner       = "{OWNER}"  # the vendor\'s\n'
        f'ami_name_filter = "{NAME}-*"\n'
    )
    return work


def test_an_ami_on_its_vendors_newest_base_is_current(
    ec2: Any, amazon: AmazonImages, based: Workbench
) -> None:
    request = based.request(builder="amazon-ebs")
    vendors(ec2, f"{NAME}-20261001", "2026-10-01")
    newest = vendors(ec2, f"{NAME}-20261101", "2026-11-01")
    # the newest by their dates, and none that the template would take
    vendors(ec2, f"{NAME}-20261102", "2026-11-02", architecture="arm64")
    vendors(ec2, f"{NAME}-20261103", "2026-11-03", owner_id="111111111111")
    vendors(ec2, f"{NAME}-20261104", "2026-11-04", root_device_type="instance-store")
    vendors(ec2, f"{NAME}-20261105", "2026-11-05", virtualization_type="paravirtual")
    vendors(ec2, f"{NAME}-20261106", "2026-11-06", state="pending")
    vendors(ec2, "jammy-amd64-server-20261107", "2026-11-07")
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, source=newest)

    found = amazon.find(request)

    assert found is not None
    assert found.location == made
    assert based.bench.say.text == ""


@pytest.mark.parametrize("tagged", [True, False])
def test_an_ami_on_an_older_base_is_told_and_built_anew(
    ec2: Any, amazon: AmazonImages, based: Workbench, tagged: bool
) -> None:
    request = based.request(builder="amazon-ebs")
    old = vendors(ec2, f"{NAME}-20261001", "2026-10-01")
    present = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, source=old if tagged else None)
    new = vendors(ec2, f"{NAME}-20261101", "2026-11-01")

    assert amazon.find(request) is None
    was = old if tagged else "an unknown AMI"
    assert f"{present} is built on {was}, the vendor has {new}" in based.bench.say.text

    again = ami(ec2, "zave-k3s-base-2", fingerprint=request.fingerprint, accepted=False, source=new)
    based.told(artifact={"id": f"us-east-1:{again}"}, version="1.11.0")
    assert amazon.build(request, say=based.bench.say).location == again
    current = amazon.find(request)
    assert current is not None
    assert current.location == again
    # machines may run on it: `--prune` takes the older one
    assert present in own(ec2)


def test_where_the_vendor_lists_nothing_the_present_ami_stays_and_that_is_said(
    ec2: Any, amazon: AmazonImages, based: Workbench
) -> None:
    request = based.request(builder="amazon-ebs")
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, source="ami-0123456789abcdef0")
    assert amazon.build(request, say=based.bench.say).location == made
    assert f"{made} is taken: nothing is known of a newer ubuntu-24.04" in based.bench.say.text


def test_where_the_vendor_may_not_be_asked_the_present_ami_stays_and_that_is_said(
    ec2: Any, amazon: AmazonImages, based: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    request = based.request(builder="amazon-ebs")
    made = ami(ec2, "zave-k3s-base-1", fingerprint=request.fingerprint, source="ami-0123456789abcdef0")
    describe = ec2.describe_images

    def own_only(**call: Any) -> Any:
        if call.get("Owners") != ["self"]:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DescribeImages")
        return describe(**call)

    monkeypatch.setattr(ec2, "describe_images", own_only)
    found = amazon.find(request)
    assert found is not None
    assert found.location == made
    assert f"{made} is taken, though its base may be too old" in based.bench.say.text
    assert "UnauthorizedOperation" in based.bench.say.text


@pytest.mark.parametrize("image", ["debian-12", "ubuntu-22.04", "ubuntu-24.04"])
def test_every_variable_file_of_the_project_names_its_vendors_ami(image: str) -> None:
    from zave.project import Project

    found = VendorAmi.of(Project().path("packer-images/k3s-base") / f"{image}.pkrvars.hcl")
    assert found is not None
    assert found.owner.isdecimal()
    assert found.name.endswith("-*")
