"""The switch's standing parts, read back one by one: what is missing or altered has a name.

Altered is what is not as Terraform's state in the bucket says that it was made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from zave.aws.live.absent import ABSENT, ask_for
from zave.aws.live.api import Api, RefusedError
from zave.aws.live.machinery_bucket import look_at_bucket, look_at_what_is_stored
from zave.aws.live.machinery_budget import counted, counted_made, notices, notices_made
from zave.aws.live.machinery_rights import look_at_boundary, look_at_role
from zave.aws.live.made import Made, read_made
from zave.aws.live.parts import Parts
from zave.ports.cloud import Machinery
from zave.text import clean

# of some thirty calls: most are two after another
_AT_ONCE = 16
_PENDING = "PendingConfirmation"
# what the alarms look at
_METRICS = frozenset({("AWS/CodeBuild", "FailedBuilds"), ("AWS/SQS", "ApproximateNumberOfMessagesVisible")})
# words of terraform-modules/aws-ttl/build.sh
_IN_BUILDSPEC = ("ZAVE_PROGRAMS_SHA256", "reap --from-bundle")
_WAITING = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
# Terraform's name of an alarm's setting -> CloudWatch's
_ALARM = {
    "comparison_operator": "ComparisonOperator",
    "datapoints_to_alarm": "DatapointsToAlarm",
    "evaluation_periods": "EvaluationPeriods",
    "metric_name": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
}

Look = Callable[[Api, Parts, Made], Iterator[str]]


def read_machinery(api: Api, parts: Parts) -> Machinery:
    """All parts, side by side. Raises what `Api.call` raises for anything but an absent part.

    A part beside the way of a fire that may not be looked at is `unread`.
    """
    made, unread = _made(api, parts)
    looks: list[Look] = [*_LOOKS, *(partial(look_at_role, name=name) for name in parts.roles)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = [pool.submit(_found, look, api, parts, made) for look in looks]
        beside = {name: pool.submit(_found, look, api, parts, made) for name, look in _BESIDE.items()}
        heard = pool.submit(subscribers, api, parts)
        waiting = pool.submit(_undelivered, api, parts)
        missing = [name for each in found for name in each.result()]
        for name, each in beside.items():
            try:
                missing += each.result()
            except RefusedError as error:
                unread.append(f"{name} ({error.code})")
        told = heard.result()
        return Machinery(
            tuple(sorted(set(missing))), any(told.values()), tuple(sorted(unread)), waiting.result(), told
        )


def told_bucket(api: Api, parts: Parts) -> str | None:
    """The bucket that the destroyer's project is told to read; None where there is no project."""
    found = api.call("codebuild", "batch_get_projects", names=[parts.project])["projects"]
    return _told(found[0]).get("ZAVE_BUCKET") if found else None


def _found(look: Look, api: Api, parts: Parts, made: Made) -> Sequence[str]:
    return list(look(api, parts, made))


def _made(api: Api, parts: Parts) -> tuple[Made, list[str]]:
    """What Terraform made. Who may not read its state compares nothing, and is told so."""
    try:
        return read_made(api, parts), []
    except RefusedError as error:
        return Made((), known=False), [f"Terraform's state of the standing parts ({error.code})"]


def _state(_api: Api, parts: Parts, made: Made) -> Iterator[str]:
    if made.resources is None:
        yield f"Terraform's state of the standing parts in {parts.bucket}"


def _group(api: Api, parts: Parts, _made: Made) -> Iterator[str]:
    found = ask_for(api, "scheduler", "get_schedule_group", Name=parts.group)
    # the schedules of a group that is being deleted go with it
    if found is None or found.get("State") != "ACTIVE":
        yield "schedule group"


def _project(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    found = api.call("codebuild", "batch_get_projects", names=[parts.project])["projects"]
    if not found:
        yield "destroyer project"
        return
    project = found[0]
    if project.get("serviceRole") != parts.project_role_arn:
        yield f"service role of project {parts.project}"
    told = _told(project)
    if told.get("ZAVE_BUCKET") != parts.bucket or told.get("ZAVE_DESTROYER_ROLE") != parts.destroyer_role_arn:
        yield f"environment of project {parts.project}"
    made_of = made.one("aws_codebuild_project", name=parts.project)
    # one of an earlier zave's account looks for the programs elsewhere
    script = project.get("source", {}).get("buildspec", "")
    written = [each.get("buildspec") for each in made_of.get("source") or ()]
    if not all(word in script for word in _IN_BUILDSPEC) or (made.known and written != [script]):
        yield f"build specification of project {parts.project}"
    if made.known and _machine(project) != _machine_made(made_of):
        yield f"what project {parts.project} runs on"


def _machine(project: Mapping[str, Any]) -> tuple[object, ...]:
    """On what a build runs, for how long, and in which network: one without a way out reaches nothing."""
    environment = project.get("environment", {})
    return (
        project.get("timeoutInMinutes"),
        project.get("queuedTimeoutInMinutes"),
        project.get("concurrentBuildLimit") or 0,
        (project.get("vpcConfig") or {}).get("vpcId"),
        environment.get("type"),
        environment.get("image"),
        environment.get("computeType"),
        bool(environment.get("privilegedMode")),
        {each["name"]: _variable(each) for each in environment.get("environmentVariables", ())},
    )


def _machine_made(project: Mapping[str, Any]) -> tuple[object, ...]:
    """The same of Terraform's."""
    environment: Mapping[str, Any] = next(iter(project.get("environment") or ()), {})
    return (
        project.get("build_timeout"),
        project.get("queued_timeout"),
        project.get("concurrent_build_limit") or 0,
        next((each.get("vpc_id") for each in project.get("vpc_config") or ()), None),
        environment.get("type"),
        environment.get("image"),
        environment.get("compute_type"),
        bool(environment.get("privileged_mode")),
        {each["name"]: _variable(each) for each in environment.get("environment_variable") or ()},
    )


def _variable(each: Mapping[str, Any]) -> tuple[str, str]:
    """A variable's value and its type, of which some have the value fetched from elsewhere."""
    return each["value"], each.get("type") or "PLAINTEXT"


def _told(project: Mapping[str, Any]) -> dict[str, str]:
    given = project.get("environment", {}).get("environmentVariables", ())
    return {each["name"]: each["value"] for each in given}


def _queue(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    found = _queue_attributes(api, parts)
    if found is None:
        yield "dead-letter queue"
        return
    kept = {"message_retention_seconds": int(found.get("MessageRetentionPeriod", 0))}
    policy = found.get("Policy")
    if made.altered("aws_sqs_queue", kept, name=parts.queue) or made.altered_policy(
        "aws_sqs_queue", "policy", policy, name=parts.queue
    ):
        yield "settings of the dead-letter queue"


def _queue_attributes(api: Api, parts: Parts) -> Mapping[str, str] | None:
    answer = ask_for(api, "sqs", "get_queue_url", QueueName=parts.queue)
    if answer is None:
        return None
    found = ask_for(api, "sqs", "get_queue_attributes", QueueUrl=answer["QueueUrl"], AttributeNames=["All"])
    return None if found is None else found.get("Attributes", {})


def _undelivered(api: Api, parts: Parts) -> int:
    """How many messages wait in the queue, about. Where it may not be looked at, `unread` tells it."""
    try:
        found = _queue_attributes(api, parts) or {}
    except RefusedError:
        return 0
    return sum(int(found.get(name, 0)) for name in _WAITING)


def _topic(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    answer = ask_for(api, "sns", "get_topic_attributes", TopicArn=parts.topic_arn)
    if answer is None:
        yield "topic for alarms"
    elif made.altered_policy(
        "aws_sns_topic_policy", "policy", answer["Attributes"].get("Policy"), arn=parts.topic_arn
    ):
        yield "who may tell the topic for alarms"


def _alarms(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    answer = api.call("cloudwatch", "describe_alarms", AlarmNames=list(parts.alarms))
    there = {each["AlarmName"]: each for each in answer.get("MetricAlarms", ())}
    for name in parts.alarms:
        alarm = there.get(name, {})
        if not alarm.get("ActionsEnabled") or parts.topic_arn not in alarm.get("AlarmActions", ()):
            yield f"alarm {name}"
        elif (alarm.get("Namespace"), alarm.get("MetricName")) not in _METRICS:
            yield f"what alarm {name} looks at"
        else:
            live = {mine: alarm.get(theirs) for mine, theirs in _ALARM.items()}
            live["treat_missing_data"] = alarm.get("TreatMissingData") or "missing"
            live["ok_actions"] = alarm.get("OKActions", [])
            live["unit"] = alarm.get("Unit")
            live["dimensions"] = {each["Name"]: each["Value"] for each in alarm.get("Dimensions", ())}
            if made.altered("aws_cloudwatch_metric_alarm", live, alarm_name=name):
                yield f"what alarm {name} waits for"


def _logs(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    answer = api.call("logs", "describe_log_groups", logGroupNamePrefix=parts.log_group)
    for each in answer.get("logGroups", ()):
        if each["logGroupName"] == parts.log_group:
            kept = {"retention_in_days": each.get("retentionInDays")}
            if made.altered("aws_cloudwatch_log_group", kept, name=parts.log_group):
                yield "how long the destroyer's log is kept"
            return
    yield "log group of the destroyer"


def _budget(api: Api, parts: Parts, made: Made) -> Iterator[str]:
    which = {"AccountId": parts.account, "BudgetName": parts.budget}
    answer = ask_for(api, "budgets", "describe_budget", **which)
    if answer is None:
        yield f"budget {parts.budget}"
        return
    if not made.known:
        return
    budget, wanted = answer["Budget"], made.one("aws_budgets_budget", name=parts.budget)
    if counted(budget) != counted_made(wanted):
        yield f"what budget {parts.budget} counts"
    found = ask_for(api, "budgets", "describe_notifications_for_budget", **which) or {}
    told = [(each, _subscribers(api, which, each)) for each in found.get("Notifications", ())]
    if notices(told) != notices_made(wanted):
        yield f"percentages of budget {parts.budget}, or whom it tells"


def _subscribers(
    api: Api, which: Mapping[str, str], notification: Mapping[str, Any]
) -> Sequence[Mapping[str, str]]:
    pages = api.pages(
        "budgets", "describe_subscribers_for_notification", Notification=dict(notification), **which
    )
    return [each for page in pages for each in page.get("Subscribers", ())]


def subscribers(api: Api, parts: Parts) -> Mapping[str, bool]:
    """Who hears of alarms, and whether it is confirmed: SNS says nothing to an address that is not."""
    try:
        pages = list(api.pages("sns", "list_subscriptions_by_topic", TopicArn=parts.topic_arn))
    except RefusedError as error:
        if error.code in ABSENT:
            return {}
        raise
    found = [each for page in pages for each in page.get("Subscriptions", ())]
    return {
        clean(str(each["Endpoint"])).lower(): _is_confirmed(api, each["SubscriptionArn"]) for each in found
    }


def _is_confirmed(api: Api, arn: str) -> bool:
    if not arn.startswith("arn:"):
        return False  # `PendingConfirmation`, or `Deleted`
    answer = ask_for(api, "sns", "get_subscription_attributes", SubscriptionArn=arn) or {}
    return str(answer.get("Attributes", {}).get(_PENDING, "true")).lower() == "false"


# without these no fire does its work
_LOOKS: Sequence[Look] = (look_at_bucket, _state, _group, _project, _topic, look_at_boundary)
# these tell of a fire that did not: a caller without rights on them is told so
_BESIDE: Mapping[str, Look] = {
    "alarms": _alarms,
    "budget": _budget,
    "encryption and owners of the state bucket": look_at_what_is_stored,
    "dead-letter queue": _queue,
    "log group of the destroyer": _logs,
}
