"""An AWS account by boto3, as the ports of `zave/ports/cloud.py` show one."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Literal

from zave.aws.live.api import Api
from zave.aws.live.bucket import S3Bucket
from zave.aws.live.inventory import LiveInventory
from zave.aws.live.lock_table import DynamoLockTable
from zave.aws.live.parts import Parts
from zave.aws.live.switchboard import SchedulerSwitchboard
from zave.aws.preconditions import wrong_account
from zave.clock import Clock
from zave.errors import StepFailedError
from zave.ports.cloud import Caller
from zave.text import clean

DEFAULT_BUCKET = "zave-state-{account}"


class LiveCloud:
    """Implements `zave.ports.cloud.Cloud`.

    `bucket` is the spec's `state.bucket`, with `{account}` and `{region}` in it or filled in already.
    `account` is the one that the credentials must belong to; in another one nothing but `caller` is asked.
    `lock` is the spec's `state.lock`.
    """

    def __init__(
        self,
        api: Api,
        *,
        clock: Clock,
        bucket: str = DEFAULT_BUCKET,
        account: str | None = None,
        lock: Literal["s3", "dynamodb"] = "s3",
    ) -> None:
        self._api = api
        self._clock = clock
        self._bucket_name = bucket
        self._account = account
        self._lock = lock

    @property
    def region(self) -> str:
        """The region's name."""
        return self._api.region

    def caller(self) -> Caller:
        """Who asks. Raises PreconditionError without usable credentials."""
        answer = self._api.call("sts", "get_caller_identity")
        ends, temporary = self._api.credentials_end(), self._api.temporary()
        return Caller(answer["Account"], answer["Arn"], ends, temporary=temporary)

    def now(self) -> datetime:
        """The time in the head of an answer. Raises StepFailedError where there is none."""
        answer = self._api.call("sts", "get_caller_identity")
        told = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(told).astimezone(UTC)
        except ValueError as error:
            raise StepFailedError("AWS did not tell the time", details=f"Date: {clean(told)}") from error

    @property
    def inventory(self) -> LiveInventory:
        """What exists in the account."""
        return self._inventory

    @property
    def bucket(self) -> S3Bucket:
        """The state bucket. Raises PreconditionError when the account is not set up."""
        found = S3Bucket(self._api, name=self.parts.bucket, account=self.parts.account)
        # each time: an account is set up, and removed, while zave looks at it
        found.require()
        return found

    @property
    def lock_table(self) -> DynamoLockTable | None:
        """The table of Terraform's locks; None where a file in the bucket locks."""
        if self._lock == "s3":
            return None
        return DynamoLockTable(self._api, name=self.parts.lock_table, bucket=self.parts.bucket)

    @property
    def switchboard(self) -> SchedulerSwitchboard:
        """The switch."""
        return self._switchboard

    @cached_property
    def parts(self) -> Parts:
        """What the standing parts are called here.

        Raises PreconditionError without credentials, and for those of another account.
        """
        answer = self._api.call("sts", "get_caller_identity")
        account = answer["Account"]
        if self._account is not None and account != self._account:
            raise wrong_account(account, self._account, arn=answer["Arn"])
        name = self._bucket_name.replace("{account}", account).replace("{region}", self.region)
        return Parts(account, self.region, self._api.partition, name)

    @cached_property
    def _inventory(self) -> LiveInventory:
        return LiveInventory(self._api, parts=lambda: self.parts, clock=self._clock)

    @cached_property
    def _switchboard(self) -> SchedulerSwitchboard:
        return SchedulerSwitchboard(self._api, parts=self.parts, clock=self._clock)
