"""Calls about one thing that may not be there."""

from typing import Any

from zave.aws.live.api import Api, RefusedError

# codes with which the services say that something is not there
ABSENT = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NotFound",
        "NotFoundException",
        "OwnershipControlsNotFoundError",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)


def ask_for(api: Api, service: str, operation: str, /, **parameters: Any) -> dict[str, Any] | None:
    """The answer; None where there is no such thing. Raises what `Api.call` raises otherwise."""
    try:
        return api.call(service, operation, **parameters)
    except RefusedError as error:
        if error.code in ABSENT:
            return None
        raise
