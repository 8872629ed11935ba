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
from zave.images.workshop import Order, Workshop
from zave.ports import Artifact, ImageRequest
from zave.ports.machines import Say
from zave.text import clean

TAG = "zave:image"
FINGERPRINT_TAG = "zave:fingerprint"
ACCEPTED_TAG = "zave:lynis"
"""Put on by zave once it has judged an AMI: Packer registers each one, whatever comes of it."""

# Packer's artifact `id`: region:ami, several of them joined by commas
_AMI = re.compile(r"(?:^|,)[a-z]{2}(?:-[a-z]+)+-[0-9]:(ami-[0-9a-f]{8,17})(?:$|,)")
_AMI_ID = re.compile(r"ami-[0-9a-f]{8,17}")
# Packer 1.6 can ask for IMDSv2 neither for the build nor for the AMI
_IMDS_SINCE = (1, 7, 0)

# longer than Packer is let work on a build, so no other machine's
_LONGEST_BUILD_HOURS = 3.0


@dataclass(frozen=True)
class AmazonImages:
    """Implements `zave.ports.ImageBuilder` for AMIs.

    `ec2` makes a boto3 client for the workshop's region; its credentials come from the environment, as
    Packer's do.
    """

    ec2: Callable[[], Any]
    workshop: Workshop

    def find(self, request: ImageRequest) -> Artifact | None:
        """The account's newest available AMI with this fingerprint; one that was not accepted is none."""
        accepted = {"Name": "tag-key", "Values": [ACCEPTED_TAG]}
        found = self._images([_made_as(request), accepted])
        return found[0] if found else None

    def build(self, request: ImageRequest, *, say: Say) -> Artifact:
        """Build it, unless it is there by now."""
        self.workshop.require(request.image, request.base)
        order = Order(request.image, request.base, "amazon-ebs", request.fingerprint)
        with self.workshop.alone(order, say=say):
            found = self.find(request)
            if found is not None:
                return found
            self._end_leftovers(say)
            began = self.workshop.clock.now()
            self._remove_rejected(request, say, before=began - timedelta(hours=_LONGEST_BUILD_HOURS))
            try:
                return self._accepted(order, say)
            except ZaveError:
                # the build's own error is what counts: what cannot be removed now, the next build removes
                with contextlib.suppress(ZaveError):
                    self._remove_rejected(request, say, after=began)
                raise

    def pin(self, base: str, *, source: Path | None, say: Say) -> None:
        """Raise UsageError: the base of an AMI is found by owner and name when it is built."""
        raise UsageError(
            f"an AMI's base ({base}) is not pinned: its owner and its name say which it is",
            resolution="leave out --update and --source",
        )

    def list(self) -> Sequence[Artifact]:
        """The account's AMIs that zave built, the newest first."""
        return self._images([{"Name": "tag-key", "Values": [TAG]}])

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
                Filters=[
                    {"Name": "image-id", "Values": [artifact.location]},
                    {"Name": "tag-key", "Values": [TAG]},
                ],
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
            made = self._one(ami)
            if built.version < _IMDS_SINCE:
                with _told("require IMDSv2 of the AMI"):
                    self.ec2().modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
            with _told("mark the AMI as accepted"):
                mark = {"Key": ACCEPTED_TAG, "Value": str(built.report.hardening_index)}
                self.ec2().create_tags(Resources=[ami], Tags=[mark])
            return made

    def _remove_rejected(
        self,
        request: ImageRequest,
        say: Say,
        *,
        before: datetime | None = None,
        after: datetime | None = None,
    ) -> None:
        """Remove AMIs of the request that nobody accepted: of killed builds, and of this one if it failed."""
        accepted = {each.location for each in self._images([{"Name": "tag-key", "Values": [ACCEPTED_TAG]}])}
        for each in self._images([_made_as(request)]):
            made = from_rfc3339(each.built_at)
            if each.location in accepted or (before and made >= before) or (after and made < after):
                continue
            say(f"removing {each.location}, which was built and not accepted", None)
            self.remove(each)

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

    def _images(self, filters: Sequence[Mapping[str, Any]]) -> Sequence[Artifact]:
        with _told("list AMIs"):
            images = self.ec2().describe_images(
                Owners=["self"],
                Filters=[*filters, {"Name": "state", "Values": ["available"]}],
            )["Images"]
        found = [_artifact(image) for image in images]
        return sorted(found, key=lambda artifact: artifact.built_at, reverse=True)

    def _one(self, ami: str) -> Artifact:
        found = self._images([{"Name": "image-id", "Values": [ami]}])
        if not found:
            raise StepFailedError(
                f"Packer says that it made {ami}, and the account does not have it",
                resolution="see whether both use the same account and region (AWS_PROFILE, AWS_REGION)",
            )
        return found[0]


def _made_as(request: ImageRequest) -> Mapping[str, Any]:
    return {"Name": f"tag:{FINGERPRINT_TAG}", "Values": [request.fingerprint]}


def _ami_of(artifact: Mapping[str, str]) -> str:
    found = _AMI.search(artifact.get("id", ""))
    if found is None:
        raise StepFailedError("Packer says that it is done, and names no AMI")
    return found[1]


def _artifact(image: Mapping[str, Any]) -> Artifact:
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
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
        return rfc3339(datetime.fromtimestamp(0, UTC))


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
