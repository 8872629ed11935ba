"""The state bucket, read back: what keeps it private, and what keeps what is in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from zave.aws.live.absent import ask_for
from zave.aws.live.api import Api
from zave.aws.live.made import Made
from zave.aws.live.parts import Parts

_BY_DEFAULT = "apply_server_side_encryption_by_default"


def look_at_bucket(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    """The bucket and its settings."""
    here = {"Bucket": parts.bucket, "ExpectedBucketOwner": parts.account}
    if ask_for(api, "s3", "head_bucket", **here) is None:
        yield "state bucket"
        return
    versioning = ask_for(api, "s3", "get_bucket_versioning", **here) or {}
    if versioning.get("Status") != "Enabled":
        yield "versioning of the state bucket"
    block = ask_for(api, "s3", "get_public_access_block", **here) or {}
    closed = block.get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    if not all(closed.get(name) for name in names):
        yield "public access block of the state bucket"
    policy = (ask_for(api, "s3", "get_bucket_policy", **here) or {}).get("Policy")
    if made.altered_policy("aws_s3_bucket_policy", "policy", policy, bucket=parts.bucket):
        yield "policy of the state bucket"
    found = ask_for(api, "s3", "get_bucket_lifecycle_configuration", **here) or {}
    if made.known and _live(found) != _made(made, parts):
        # a rule that deletes what is current would take states and bundles
        yield "lifecycle of the state bucket"


def look_at_what_is_stored(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    """How what is in the bucket is encrypted, and whose it is."""
    if not made.known:
        return
    here = {"Bucket": parts.bucket, "ExpectedBucketOwner": parts.account}
    found = ask_for(api, "s3", "get_bucket_encryption", **here) or {}
    rules = found.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    told = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    by = made.one("aws_s3_bucket_server_side_encryption_configuration", bucket=parts.bucket)
    wanted = [each for rule in by.get("rule") or () for each in rule[_BY_DEFAULT]]
    # a key of somebody's own can be deleted, and with it all that is in the bucket
    if [(each.get("SSEAlgorithm"), each.get("KMSMasterKeyID") or None) for each in told] != [
        (each.get("sse_algorithm"), each.get("kms_master_key_id") or None) for each in wanted
    ]:
        yield "encryption of the state bucket"
    found = ask_for(api, "s3", "get_bucket_ownership_controls", **here) or {}
    owners = [rule.get("ObjectOwnership") for rule in found.get("OwnershipControls", {}).get("Rules", ())]
    by = made.one("aws_s3_bucket_ownership_controls", bucket=parts.bucket)
    if owners != [rule.get("object_ownership") for rule in by.get("rule") or ()]:
        yield "whose the objects of the state bucket are"


def _live(found: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Rule -> days after which old versions go, and whatever else it would let go."""
    return {
        rule.get("ID", ""): (
            rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
            bool(rule.get("Expiration") or rule.get("Transitions")),
        )
        for rule in found.get("Rules", ())
        if rule.get("Status") == "Enabled"
    }


def _made(made: Made, parts: Parts) -> dict[str, tuple[Any, ...]]:
    values = made.one("aws_s3_bucket_lifecycle_configuration", bucket=parts.bucket)
    return {
        rule.get("id") or "": (
            next(
                (each.get("noncurrent_days") for each in rule.get("noncurrent_version_expiration") or ()),
                None,
            ),
            bool(rule.get("expiration") or rule.get("transition")),
        )
        for rule in values.get("rule") or ()
        if rule.get("status") == "Enabled"
    }
