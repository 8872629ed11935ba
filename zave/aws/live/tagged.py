"""What carries zave's tag and is of no type in the table: nothing of an instance's may stay unseen."""

from collections.abc import Collection, Iterator

from zave.aws.live.api import Api
from zave.aws.live.belonging import INSTANCE
from zave.aws.live.listing import Found

# part of all names that zave gives
_MARK = "zave"


def unlisted(api: Api, *, covered: Collection[str], known: Collection[str]) -> Iterator[Found]:
    """Things by the tagging API alone.

    `covered` are the kinds that are listed by their own services, as in `ec2:vpc`; of those the tagging
    API goes on telling for hours after they are gone (boto3 issue 3341, 2022; aws-sdk issue 676, 2023),
    so it is believed only where a list is narrowed to zave's names and the thing has another. `known`
    are the ARNs and ids that were found.
    """
    filters = [{"Key": INSTANCE}]
    for page in api.pages("resourcegroupstaggingapi", "get_resources", TagFilters=filters):
        for each in page["ResourceTagMappingList"]:
            arn = each["ResourceARN"]
            service, kind, name = _parts(arn)
            if arn in known or name in known:
                continue
            if service == "ec2" or (_is_covered(service, kind, covered) and _MARK in name):
                continue
            tags = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            type_ = f"aws_{service}_{kind or 'resource'}".replace("-", "_")
            yield Found(type_, arn, {"id": arn, "arn": arn, "name": name}, tags)


def _is_covered(service: str, kind: str, covered: Collection[str]) -> bool:
    return service in covered or f"{service}:{kind}" in covered


def _parts(arn: str) -> tuple[str, str, str]:
    """Service, kind and name in an ARN: `arn:aws:rds:us-east-1:1:db:name`, or `...:subnet/subnet-1`."""
    words = arn.split(":", 5)
    service, rest = words[2], words[5]
    for separator in ("/", ":"):
        kind, found, name = rest.partition(separator)
        if found:
            return service, kind, name
    return service, "", rest
