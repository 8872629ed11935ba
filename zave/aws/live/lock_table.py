"""The table of Terraform's locks in DynamoDB."""

from typing import Any

from zave.aws.live.api import Api, RefusedError

# names the digest of what Terraform wrote last (its `internal/backend/remote-state/s3/client.go`)
_DIGEST = "-md5"


class DynamoLockTable:
    """Implements `zave.ports.cloud.LockTable` over the items of Terraform's S3 backend.

    They are named after the state's `bucket` and key. A table that is not there holds nothing.
    """

    def __init__(self, api: Api, *, name: str, bucket: str) -> None:
        self._api = api
        self._name = name
        self._bucket = bucket

    def lock(self, state: str) -> bytes | None:
        """What the holder of the state's lock wrote; None when nobody holds it."""
        try:
            answer = self._call("get_item", state, ConsistentRead=True)
        except RefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return None
        item = answer.get("Item")
        return None if item is None else str(item.get("Info", {}).get("S", "")).encode()

    def release(self, state: str, held: bytes) -> bool:
        """Release the lock while it is `held` still; False when it is another one by now, or none."""
        # what a holder writes has an ID of its own
        condition = {
            "ConditionExpression": "#info = :held",
            "ExpressionAttributeNames": {"#info": "Info"},
            "ExpressionAttributeValues": {":held": {"S": held.decode()}},
        }
        if not held:
            condition = {"ConditionExpression": "attribute_not_exists(Info)"}
        try:
            self._call("delete_item", state, **condition)
        except RefusedError as error:
            if error.code not in ("ConditionalCheckFailedException", "ResourceNotFoundException"):
                raise
            return False
        return True

    def forget(self, state: str) -> None:
        """Forget the digest of a state: Terraform refuses any state that does not fit one."""
        try:
            self._call("delete_item", f"{state}{_DIGEST}")
        except RefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise

    def _call(self, operation: str, name: str, **parameters: Any) -> dict[str, Any]:
        key = {"LockID": {"S": f"{self._bucket}/{name}"}}
        return self._api.call("dynamodb", operation, TableName=self._name, Key=key, **parameters)
