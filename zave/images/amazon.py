"""AMIs: built by Packer in the user's account, found by their tags, removed with their snapshots."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from zave.clock import from_rfc3339, rfc3339
from zave.errors import PreconditionError, StepFailedError, UsageError, ZaveError
from zave.images.amazon_base import VendorAmi
from zave.images.workshop import Order, Workshop
from zave.ports import Artifact, ImageRequest, Leftover
from zave.ports.machines import Say
from zave.text import clean

TAG = "zave:image"
FINGERPRINT_TAG = "zave:fingerprint"
BUILD_TAG = "zave:build"
"""The random mark of one build, on everything that its Packer makes."""
SOURCE_TAG = "zave:source"
"""The vendor's AMI that an AMI was built on."""
ACCEPTED_TAG = "zave:lynis"
"""Put on by zave once it has judged an AMI: Packer registers each one, whatever comes of it."""

# Packer's artifact `id`: region:ami, several of them joined by commas
_AMI = re.compile(r"(?:^|,)[a-z]{2}(?:-[a-z]+)+-[0-9]:(ami-[0-9a-f]{8,17})(?:$|,)")
_AMI_ID = re.compile(r"ami-[0-9a-f]{8,17}")
# Packer 1.6 can ask for IMDSv2 neither for the build nor for the AMI
_IMDS_SINCE = (1, 7, 0)

# of what EC2 does not date
_NEVER = datetime.fromtimestamp(0, UTC)
# longer than Packer is let work on a build, so no other machine's
_LONGEST_BUILD_HOURS = 3.0


@dataclass(frozen=True)
class AmazonImages:
    """Implements `zave.ports.ImageBuilder` for AMIs.

    `ec2` makes a boto3 client for the workshop's region; its credentials come from the environment, as
    Packer's do. `tell` hears why an AMI that is there is not current, or could not be compared.
    """

    ec2: Callable[[], Any]
    workshop: Workshop
    tell: Callable[[str], None]

    def find(self, request: ImageRequest) -> Artifact | None:
        """The account's newest accepted AMI with this fingerprint, on the newest base that its vendor has.

        Where the vendor cannot be asked the base counts as the newest.
        """
        found, remark = self._current(request)
        if remark is not None:
            self.tell(remark)
        return found

    def build(self, request: ImageRequest, *, say: Say) -> Artifact:
        """Build it, unless it is there by now."""
        self.workshop.require(request.image, request.base, builder="amazon-ebs")
        token = self.workshop.token()
        order = Order(request.image, request.base, "amazon-ebs", request.fingerprint, token=token)
        with self.workshop.alone(order, say=say):
            found, remark = self._current(request)
            if remark is not None:
                say(remark, None)
            if found is not None:
                return found
            self._end_leftovers(say)
            self._remove_unaccepted(self._abandoned(), say)
            try:
                return self._accepted(order, say)
            except ZaveError:
                # the build's own error is what counts: what cannot be removed now, a later build removes
                with contextlib.suppress(ZaveError):
                    self._remove_unaccepted(self._unaccepted(_tagged(BUILD_TAG, token)), say)
                raise

    def pin(self, base: str, *, source: Path | None, say: Say) -> None:
        """Raise UsageError: the base of an AMI is found by owner and name when it is built."""
        raise UsageError(
            f"an AMI's base ({base}) is not pinned: its owner and its name say which it is",
            resolution="leave out --update and --source",
        )

    def list(self) -> Sequence[Artifact]:
        """The account's AMIs that zave built and accepted, the newest first."""
        return _artifacts(self._described(_has(TAG), _has(ACCEPTED_TAG), _AVAILABLE))

    def leftovers(self) -> Sequence[Leftover]:
        """AMIs of builds that were killed: zave's, not accepted, older than any build that still runs."""
        return [
            Leftover(each.name, each.location, each.size, each.built_at, "an AMI that was not accepted")
            for each in self._abandoned()
        ]

    def discard(self, leftover: Leftover) -> None:
        """Remove it as an AMI is removed, unless it has been accepted meanwhile."""
        for each in self._unaccepted({"Name": "image-id", "Values": [leftover.location]}):
            self.remove(each)

    def remove(self, artifact: Artifact) -> None:
        """Deregister an AMI and delete its snapshots. Gone already is fine.

        Raises UsageError for what is no AMI of zave's, StepFailedError when the account refuses.
        """
        if not _AMI_ID.fullmatch(artifact.location):
            raise UsageError(f"{artifact.location} is not an AMI")
        ec2 = self.ec2()
        with _told(f"remove {artifact.location}"):
            images = ec2.describe_images(
                Owners=["self"],
                Filters=[{"Name": "image-id", "Values": [artifact.location]}, _has(TAG)],
            )["Images"]
            for image in images:
                snapshots = [
                    device["Ebs"]["SnapshotId"]
                    for device in image.get("BlockDeviceMappings", [])
                    if device.get("Ebs", {}).get("SnapshotId")
                ]
                # a snapshot that an AMI uses cannot be deleted
                ec2.deregister_image(ImageId=image["ImageId"])
                for snapshot in snapshots:
                    _delete_snapshot(ec2, snapshot)
            self._remove_orphans(ec2, artifact)

    def _accepted(self, order: Order, say: Say) -> Artifact:
        with self.workshop.built(order, say=say) as built:
            ami = _ami_of(built.artifact)
            image = self._one(ami)
            _require_encrypted(image)
            if built.version < _IMDS_SINCE:
                with _told("require IMDSv2 of the AMI"):
                    self.ec2().modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
            with _told("mark the AMI as accepted"):
                mark = {"Key": ACCEPTED_TAG, "Value": str(built.report.hardening_index)}
                self.ec2().create_tags(Resources=[ami], Tags=[mark])
            return _artifact(image)

    def _current(self, request: ImageRequest) -> tuple[Artifact | None, str | None]:
        """The AMI to use, if there is one, and what is to be said of it, or of the one that is too old."""
        images = self._described(
            _tagged(FINGERPRINT_TAG, request.fingerprint), _has(ACCEPTED_TAG), _AVAILABLE
        )
        if not images:
            return None, None
        present, newest = _artifacts(images)[0], None
        base = VendorAmi.of(self.workshop.variables(request.image, request.base))
        try:
            with _told("ask which base AMI is its vendor's newest"):
                newest = None if base is None else base.newest(self.ec2())
        except (PreconditionError, StepFailedError) as error:
            why = ": ".join(filter(None, [error.brief, error.details]))
            return present, f"{present.location} is taken, though its base may be too old: {why}"
        if newest is None:
            return present, f"{present.location} is taken: nothing is known of a newer {request.base}"
        fitting = [image for image in images if _tags(image).get(SOURCE_TAG) == newest]
        if fitting:
            return _artifacts(fitting)[0], None
        built_on = next(
            _tags(image).get(SOURCE_TAG) for image in images if image["ImageId"] == present.location
        )
        was = clean(built_on) if built_on else "an unknown AMI"
        return None, f"{present.location} is built on {was}, the vendor has {newest}: it is not current"

    def _unaccepted(self, *filters: Mapping[str, Any]) -> Sequence[Artifact]:
        """AMIs that Packer registered and zave did not accept, in whatever state they are."""
        images = self._described(_has(TAG), *filters)
        return _artifacts([image for image in images if ACCEPTED_TAG not in _tags(image)])

    def _abandoned(self) -> Sequence[Artifact]:
        """Those of builds that nobody works on any more, whatever they were made from."""
        before = self.workshop.clock.now() - timedelta(hours=_LONGEST_BUILD_HOURS)
        return [each for each in self._unaccepted() if _NEVER < from_rfc3339(each.built_at) < before]

    def _remove_unaccepted(self, images: Sequence[Artifact], say: Say) -> None:
        for each in images:
            say(f"removing {each.location}, which was built and not accepted", None)
            try:
                self.remove(each)
            except StepFailedError as error:
                # one that is stuck keeps nobody from building
                say(f"{each.location} stays: {error.details or error.brief}", None)

    def _end_leftovers(self, say: Say) -> None:
        """Terminate the instances of builds that were killed, by any machine: they cost money by the hour."""
        ec2, now = self.ec2(), self.workshop.clock.now()
        with _told("look for what killed builds left"):
            pages = ec2.get_paginator("describe_instances").paginate(
                Filters=[
                    {"Name": "tag-key", "Values": [TAG]},
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            )
            instances = [
                each for page in pages for group in page["Reservations"] for each in group["Instances"]
            ]
            for instance in instances:
                hours = (now - instance["LaunchTime"]).total_seconds() / 3600
                name = instance["InstanceId"]
                if hours > _LONGEST_BUILD_HOURS:
                    say(f"terminating {name}, which a killed build left {hours:.0f} h ago", None)
                    ec2.terminate_instances(InstanceIds=[name])
                else:
                    say(f"{name} builds an image as well, or was left by a build within {hours:.1f} h", None)

    def _remove_orphans(self, ec2: Any, artifact: Artifact) -> None:
        """Snapshots that an earlier, cut-off removal left: they carry the fingerprint as well."""
        if _tags_in_use(ec2, artifact.fingerprint):
            return
        pages = ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"],
            Filters=[
                {"Name": "tag-key", "Values": [TAG]},
                {"Name": f"tag:{FINGERPRINT_TAG}", "Values": [artifact.fingerprint]},
            ],
        )
        for snapshot in [each for page in pages for each in page["Snapshots"]]:
            _delete_snapshot(ec2, snapshot["SnapshotId"])

    def _described(self, *filters: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        with _told("list AMIs"):
            images: Sequence[Mapping[str, Any]] = self.ec2().describe_images(
                Owners=["self"], Filters=list(filters)
            )["Images"]
        return images

    def _one(self, ami: str) -> Mapping[str, Any]:
        found = self._described({"Name": "image-id", "Values": [ami]}, _AVAILABLE)
        if not found:
            raise StepFailedError(
                f"Packer says that it made {ami}, and the account does not have it",
                resolution="see whether both use the same account and region (AWS_PROFILE, AWS_REGION)",
            )
        return found[0]


_AVAILABLE: Mapping[str, Any] = {"Name": "state", "Values": ["available"]}


def _has(tag: str) -> Mapping[str, Any]:
    return {"Name": "tag-key", "Values": [tag]}


def _tagged(tag: str, value: str) -> Mapping[str, Any]:
    return {"Name": f"tag:{tag}", "Values": [value]}


def _require_encrypted(image: Mapping[str, Any]) -> None:
    open_ = [
        device["DeviceName"]
        for device in image.get("BlockDeviceMappings", [])
        if device.get("Ebs", {}).get("Encrypted") is False
    ]
    if open_:
        raise StepFailedError(
            f"{image['ImageId']} is not encrypted: {', '.join(open_)}",
            resolution=f"its root device is {image.get('RootDeviceName')}: the variable root_device of the "
            "image's variable file must name it",
        )


def _ami_of(artifact: Mapping[str, str]) -> str:
    found = _AMI.search(artifact.get("id", ""))
    if found is None:
        raise StepFailedError("Packer says that it is done, and names no AMI")
    return found[1]


def _tags(image: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}


def _artifacts(images: Sequence[Mapping[str, Any]]) -> Sequence[Artifact]:
    """The newest first."""
    return sorted(map(_artifact, images), key=lambda artifact: artifact.built_at, reverse=True)


def _artifact(image: Mapping[str, Any]) -> Artifact:
    tags = _tags(image)
    fingerprint = clean(tags.get(FINGERPRINT_TAG, ""))
    sizes = [d.get("Ebs", {}).get("VolumeSize", 0) for d in image.get("BlockDeviceMappings", [])]
    return Artifact(
        name=clean(image.get("Name", "")),
        location=image["ImageId"],
        # an AMI's bytes cannot be read: what went into it stands for them
        checksum=f"sha256:{fingerprint}",
        fingerprint=fingerprint,
        size=sum(sizes) << 30,
        built_at=_moment(image.get("CreationDate", "")),
    )


def _moment(text: str) -> str:
    """EC2's time (`2026-11-23T16:00:00.000Z`) as zave writes times."""
    try:
        return rfc3339(datetime.fromisoformat(text).astimezone(UTC))
    except ValueError:
        return rfc3339(_NEVER)


def _tags_in_use(ec2: Any, fingerprint: str) -> bool:
    """Whether another AMI has this fingerprint; then its snapshots are not orphans."""
    found = ec2.describe_images(
        Owners=["self"], Filters=[{"Name": f"tag:{FINGERPRINT_TAG}", "Values": [fingerprint]}]
    )
    return not fingerprint or bool(found["Images"])


def _delete_snapshot(ec2: Any, snapshot: str) -> None:
    from botocore.exceptions import ClientError

    try:
        ec2.delete_snapshot(SnapshotId=snapshot)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "InvalidSnapshot.NotFound":
            raise


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """AWS's refusals as errors that people can act on."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise PreconditionError(
            f"zave cannot {what}: there are no AWS credentials",
            resolution="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from error
    except (BotoCoreError, ClientError) as error:
        raise StepFailedError(f"zave could not {what}", details=clean(str(error))) from error
