"""The state bucket in S3."""

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from zave.aws.live.api import Api, RefusedError
from zave.errors import NoBucketError, PreconditionError, StepFailedError
from zave.ports.cloud import StoredObject

_ABSENT = frozenset({"NoSuchKey", "404"})
_NO_BUCKET = frozenset({"NoSuchBucket", "404", "NotFound"})
# another one writes that very key at this moment: S3 wants it tried again (user guide, conditional writes)
_CONFLICT = "ConditionalRequestConflict"
_TRIES = 5


class S3Bucket:
    """Implements `zave.ports.cloud.Bucket`. `account` must own the bucket.

    The bucket's name can be guessed: with the owner named in every call nothing is ever written into
    a bucket that somebody else made under it.
    """

    def __init__(self, api: Api, *, name: str, account: str) -> None:
        self._api = api
        self._name = name
        self._here = {"Bucket": name, "ExpectedBucketOwner": account}

    @property
    def name(self) -> str:
        """The bucket's name."""
        return self._name

    def require(self) -> None:
        """Raise PreconditionError when there is no such bucket, none of this account's, or none here.

        One region's bucket is no other's: each has its switch, and the states of both have one key.
        """
        try:
            found = self._api.call("s3", "head_bucket", **self._here)
        except RefusedError as error:
            if error.code in _NO_BUCKET:
                raise self._missing() from error
            raise PreconditionError(
                f"the bucket {self._name} is there, but not for this account in this region",
                details=error.details,
                resolution="name another one in the spec's state.bucket, or use the account that owns it",
            ) from error
        # boto3 follows a bucket into its region, Terraform's backend does not
        region = found.get("BucketRegion") or self._api.region
        if region != self._api.region:
            raise PreconditionError(
                f"the bucket {self._name} is in {region}, and each region needs one of its own",
                where=f"AWS {self._api.region}",
                resolution="put {region} into state.bucket of the spec for this region, as in "
                "zave-state-{region}-{account}",
            )

    def get(self, key: str) -> bytes | None:
        """The newest version; None when there is none."""
        if not key:
            return None  # what an altered schedule names; S3 has no such key
        try:
            answer = self._api.call("s3", "get_object", Key=key, **self._here)
        except RefusedError as error:
            if error.code in _ABSENT:
                return None
            raise self._told(error) from error
        with self._api.told("s3", "get_object"):
            content: bytes = answer["Body"].read()
        return content

    def put(self, key: str, content: bytes, *, only_if_absent: bool = False) -> bool:
        """Write an object, durably. False when `only_if_absent` and it was there."""
        condition = {"IfNoneMatch": "*"} if only_if_absent else {}
        for _ in range(_TRIES):
            try:
                self._api.call("s3", "put_object", Key=key, Body=content, **condition, **self._here)
            except RefusedError as error:
                if error.code == "PreconditionFailed":
                    return False
                if error.code != _CONFLICT:
                    raise self._told(error) from error
            else:
                return True
        raise StepFailedError(
            f"{key} is written by others all the time", where=self._name, resolution="run it again"
        )

    def put_file(self, key: str, path: Path) -> None:
        """Write a file of any size, durably, without reading it into memory: in parts where it is large."""
        owner = {"ExpectedBucketOwner": self._here["ExpectedBucketOwner"]}
        client = self._api.client("s3")
        try:
            with self._api.told("s3", "upload_file"), path.open("rb") as file:
                client.upload_fileobj(file, self._name, key, ExtraArgs=owner)
        except RefusedError as error:
            raise self._told(error) from error

    def delete(self, key: str) -> None:
        """Delete; absent is fine. Older versions stay as long as the bucket keeps them."""
        try:
            self._api.call("s3", "delete_object", Key=key, **self._here)
        except RefusedError as error:
            if error.code not in _ABSENT:
                raise self._told(error) from error

    def list(self, prefix: str) -> Sequence[StoredObject]:
        """Objects by key."""
        try:
            found = [
                StoredObject(each["Key"], each["Size"], each["LastModified"].astimezone(UTC))
                for page in self._api.pages("s3", "list_objects_v2", Prefix=prefix, **self._here)
                for each in page.get("Contents", ())
            ]
        except RefusedError as error:
            raise self._told(error) from error
        return sorted(found, key=lambda stored: stored.key)

    def _told(self, error: RefusedError) -> PreconditionError | RefusedError:
        return self._missing() if error.code == "NoSuchBucket" else error

    def _missing(self) -> NoBucketError:
        return NoBucketError(
            f"there is no bucket {self._name} in this account",
            resolution="zave account setup makes the standing parts",
        )
