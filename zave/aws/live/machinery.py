"""The switch's standing parts, read back one by one: what is missing or altered has a name."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from zave.aws.live.api import Api, RefusedError
from zave.aws.live.parts import Parts
from zave.ports.cloud import Machinery

_AT_ONCE = 8
# codes with which the services say that something is not there
_ABSENT = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchPublicAccessBlockConfiguration",
        "NotFound",
        "NotFoundException",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
    }
)
_PENDING = "PendingConfirmation"
# what the alarms look at
_METRICS = frozenset({("AWS/CodeBuild", "FailedBuilds"), ("AWS/SQS", "ApproximateNumberOfMessagesVisible")})
# words of terraform-modules/aws-ttl/build.sh
_IN_BUILDSPEC = ("ZAVE_PROGRAMS_SHA256", "reap --from-bundle")

Look = Callable[[Api, Parts], Iterator[str]]


def read_machinery(api: Api, parts: Parts) -> Machinery:
    """All parts, side by side. Raises what `Api.call` raises for anything but an absent part."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [pool.submit(_found, look, api, parts) for look in _LOOKS]
        confirmed = pool.submit(_confirmed, api, parts)
        missing = [name for each in found for name in each.result()]
        return Machinery(tuple(sorted(set(missing))), confirmed.result())


def _found(look: Look, api: Api, parts: Parts) -> Sequence[str]:
    return list(look(api, parts))


def _ask(api: Api, service: str, operation: str, /, **parameters: Any) -> dict[str, Any] | None:
    """The answer; None where there is no such thing."""
    try:
        return api.call(service, operation, **parameters)
    except RefusedError as error:
        if error.code in _ABSENT:
            return None
        raise


def _bucket(api: Api, parts: Parts) -> Iterator[str]:
    here = {"Bucket": parts.bucket, "ExpectedBucketOwner": parts.account}
    if _ask(api, "s3", "head_bucket", **here) is None:
        yield "state bucket"
        return
    versioning = _ask(api, "s3", "get_bucket_versioning", **here) or {}
    if versioning.get("Status") != "Enabled":
        yield "versioning of the state bucket"
    block = _ask(api, "s3", "get_public_access_block", **here) or {}
    closed = block.get("PublicAccessBlockConfiguration", {})
    names = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    if not all(closed.get(name) for name in names):
        yield "public access block of the state bucket"


def _group(api: Api, parts: Parts) -> Iterator[str]:
    found = _ask(api, "scheduler", "get_schedule_group", Name=parts.group)
    # the schedules of a group that is being deleted go with it
    if found is None or found.get("State") != "ACTIVE":
        yield "schedule group"


def _project(api: Api, parts: Parts) -> Iterator[str]:
    found = api.call("codebuild", "batch_get_projects", names=[parts.project])["projects"]
    if not found:
        yield "destroyer project"
        return
    project = found[0]
    if project.get("serviceRole") != parts.project_role_arn:
        yield f"service role of project {parts.project}"
    given = project.get("environment", {}).get("environmentVariables", ())
    told = {each["name"]: each["value"] for each in given}
    if told.get("ZAVE_BUCKET") != parts.bucket or told.get("ZAVE_DESTROYER_ROLE") != parts.destroyer_role_arn:
        yield f"environment of project {parts.project}"
    # one of an earlier zave's account looks for the programs elsewhere
    script = project.get("source", {}).get("buildspec", "")
    if not all(word in script for word in _IN_BUILDSPEC):
        yield f"build specification of project {parts.project}"


def _queue(api: Api, parts: Parts) -> Iterator[str]:
    if _ask(api, "sqs", "get_queue_url", QueueName=parts.queue) is None:
        yield "dead-letter queue"


def _topic(api: Api, parts: Parts) -> Iterator[str]:
    if _ask(api, "sns", "get_topic_attributes", TopicArn=parts.topic_arn) is None:
        yield "topic for alarms"


def _alarms(api: Api, parts: Parts) -> Iterator[str]:
    answer = api.call("cloudwatch", "describe_alarms", AlarmNames=list(parts.alarms))
    there = {each["AlarmName"]: each for each in answer.get("MetricAlarms", ())}
    for name in parts.alarms:
        alarm = there.get(name, {})
        if not alarm.get("ActionsEnabled") or parts.topic_arn not in alarm.get("AlarmActions", ()):
            yield f"alarm {name}"
        elif (alarm.get("Namespace"), alarm.get("MetricName")) not in _METRICS:
            yield f"what alarm {name} looks at"


def _roles(api: Api, parts: Parts) -> Iterator[str]:
    found = {name: _ask(api, "iam", "get_role", RoleName=name) for name in parts.roles}
    if None in found.values():
        yield "roles of scheduler and destroyer"
    for name, answer in found.items():
        if answer is None:
            continue
        role = answer["Role"]
        if role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") != parts.boundary_arn:
            yield f"permissions boundary of role {name}"
        policies = api.call("iam", "list_role_policies", RoleName=name)["PolicyNames"]
        if not set(parts.roles[name]) <= set(policies):
            yield f"rights of role {name}"


def _trust(api: Api, parts: Parts) -> Iterator[str]:
    """Who may take a role on: a schedule that may not fires for ever and does nothing."""
    who = ("scheduler.amazonaws.com", "codebuild.amazonaws.com", parts.project_role_arn)
    for name, service in zip(parts.roles, who, strict=True):
        answer = _ask(api, "iam", "get_role", RoleName=name)
        if answer is not None and service not in _document(answer["Role"].get("AssumeRolePolicyDocument")):
            yield f"trust of role {name}"


def _document(policy: object) -> str:
    """A policy as text: boto3 parses the real one's, a stand-in may leave it encoded."""
    return unquote(policy) if isinstance(policy, str) else json.dumps(policy)


def _confirmed(api: Api, parts: Parts) -> bool:
    """Whether anybody hears of alarms: SNS says nothing to an address that never confirmed."""
    try:
        pages = list(api.pages("sns", "list_subscriptions_by_topic", TopicArn=parts.topic_arn))
    except RefusedError as error:
        if error.code in _ABSENT:
            return False
        raise
    arns = [each["SubscriptionArn"] for page in pages for each in page.get("Subscriptions", ())]
    return any(_is_confirmed(api, arn) for arn in arns)


def _is_confirmed(api: Api, arn: str) -> bool:
    if not arn.startswith("arn:"):
        return False  # `PendingConfirmation`, or `Deleted`
    answer = _ask(api, "sns", "get_subscription_attributes", SubscriptionArn=arn) or {}
    return str(answer.get("Attributes", {}).get(_PENDING, "true")).lower() == "false"


_LOOKS: Sequence[Look] = (_bucket, _group, _project, _queue, _topic, _alarms, _roles, _trust)
