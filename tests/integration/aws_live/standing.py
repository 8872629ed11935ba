"""The standing parts of an account in moto: what Terraform makes of `aws-state` and `aws-ttl`, by boto3.

Everything is made from values in Terraform's shape, so that the state in the bucket says the same.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zave.aws.keys import ACCOUNT_STATE
from zave.aws.live.api import Api
from zave.aws.live.parts import Parts

Values = Mapping[str, Any]

REGION = "us-east-1"
# moto's own account
ACCOUNT = "123456789012"
PARTS = Parts(ACCOUNT, REGION, "aws", f"zave-state-{ACCOUNT}")
TAGS = {"zave:standing": "true", "zave:owner": "me@example.org", "cloud-nuke-excluded": "true"}
BUILD = Path(__file__).parents[3] / "terraform-modules" / "aws-ttl" / "build.sh"
_PATH = "/zave/standing/"
_MAIL = "alarms@example.org"
_BY_DEFAULT = "apply_server_side_encryption_by_default"
_TOPIC = PARTS.topic_arn.rpartition(":")[2]


def document(word: str, *more: str) -> str:
    """A policy like no other."""
    statement = {"Sid": word, "Effect": "Allow", "Action": ["s3:GetObject", *more], "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: Mapping[str, str]) -> str:
    """Who may take a role on."""
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": dict(principal)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services want them."""
    return [{key: name, value: text} for name, text in tags.items()]


def parts_made() -> list[tuple[str, dict[str, Any]]]:
    """Type and values of all standing parts but the bucket itself, in the order in which they are made."""
    boundary = {"name": PARTS.boundary_arn.rpartition("/")[2], "arn": PARTS.boundary_arn, "path": _PATH}
    made: list[tuple[str, dict[str, Any]]] = [
        ("aws_iam_policy", {**boundary, "policy": document("boundary")})
    ]
    services = ("scheduler", "codebuild", None)
    for (name, policies), service in zip(PARTS.roles.items(), services, strict=True):
        principal = {"Service": f"{service}.amazonaws.com"} if service else {"AWS": PARTS.project_role_arn}
        role = {"name": name, "path": _PATH, "permissions_boundary": PARTS.boundary_arn}
        made.append(("aws_iam_role", {**role, "assume_role_policy": trust(principal)}))
        made += [
            ("aws_iam_role_policy", {"role": name, "name": each, "policy": document(each.replace("-", ""))})
            for each in policies
        ]
    days = [{"noncurrent_days": 90}]
    rule = {"id": "old-versions", "status": "Enabled", "noncurrent_version_expiration": days}
    made += [
        ("aws_s3_bucket_policy", {"bucket": PARTS.bucket, "policy": document("tls")}),
        ("aws_s3_bucket_lifecycle_configuration", {"bucket": PARTS.bucket, "rule": [rule]}),
        (
            "aws_s3_bucket_server_side_encryption_configuration",
            {"bucket": PARTS.bucket, "rule": [{_BY_DEFAULT: [{"sse_algorithm": "AES256"}]}]},
        ),
        (
            "aws_s3_bucket_ownership_controls",
            {"bucket": PARTS.bucket, "rule": [{"object_ownership": "BucketOwnerEnforced"}]},
        ),
        ("aws_scheduler_schedule_group", {"name": PARTS.group}),
        ("aws_sqs_queue", {"name": PARTS.queue, "message_retention_seconds": 1209600}),
        ("aws_sns_topic", {"name": _TOPIC}),
        ("aws_sns_topic_policy", {"arn": PARTS.topic_arn, "policy": document("topic")}),
        ("aws_sns_topic_subscription", {"protocol": "email", "endpoint": _MAIL}),
        ("aws_cloudwatch_log_group", {"name": PARTS.log_group, "retention_in_days": 90}),
        ("aws_budgets_budget", _budget()),
    ]
    made += [("aws_cloudwatch_metric_alarm", _alarm(name)) for name in PARTS.alarms]
    return [*made, ("aws_codebuild_project", _project())]


def _budget() -> dict[str, Any]:
    notices = [
        {
            "threshold": percent,
            "threshold_type": "PERCENTAGE",
            "notification_type": "ACTUAL",
            "comparison_operator": "GREATER_THAN",
            "subscriber_email_addresses": [_MAIL],
        }
        for percent in (50, 100)
    ]
    kind = {"budget_type": "COST", "time_unit": "MONTHLY", "limit_unit": "USD"}
    return {"name": PARTS.budget, "limit_amount": "50", **kind, "notification": notices}


def _alarm(name: str) -> dict[str, Any]:
    return {
        "alarm_name": name,
        "namespace": "AWS/CodeBuild",
        "metric_name": "FailedBuilds",
        "dimensions": {"ProjectName": PARTS.project},
        "statistic": "Sum",
        "period": 1800,
        "evaluation_periods": 16,
        "datapoints_to_alarm": 3,
        "threshold": 1,
        "comparison_operator": "GreaterThanOrEqualToThreshold",
        "treat_missing_data": "notBreaching",
        "alarm_actions": [PARTS.topic_arn],
        "ok_actions": [PARTS.topic_arn],
    }


def _project() -> dict[str, Any]:
    told = {"ZAVE_BUCKET": PARTS.bucket, "ZAVE_DESTROYER_ROLE": PARTS.destroyer_role_arn}
    machine = {
        "type": "LINUX_CONTAINER",
        "image": "aws/codebuild/standard:7.0",
        "compute_type": "BUILD_GENERAL1_SMALL",
        "environment_variable": pairs(told, "name", "value"),
    }
    script = json.dumps({"phases": {"build": {"commands": [BUILD.read_text()]}}})
    return {
        "name": PARTS.project,
        "service_role": PARTS.project_role_arn,
        "build_timeout": 120,
        "queued_timeout": 60,
        "environment": [machine],
        "source": [{"buildspec": script}],
    }


def set_up(api: Api) -> None:
    """Make all standing parts, and the state that says so."""
    make_bucket(api)
    for kind, values in parts_made():
        make(api, kind, values)
    put_state(api)


def put_state(api: Api) -> None:
    """Terraform's state of the standing parts."""
    resources = [
        {"mode": "managed", "type": kind, "name": f"p{number}", "instances": [{"attributes": values}]}
        for number, (kind, values) in enumerate(parts_made())
    ]
    state = {"version": 4, "lineage": "standing", "serial": 1, "resources": resources}
    body = json.dumps(state).encode()
    api.call("s3", "put_object", Bucket=PARTS.bucket, Key=ACCOUNT_STATE, Body=body)


def is_part(kind: str, values: Values) -> bool:
    """Whether what Terraform made is a standing part that moto shows as well."""
    if kind == "aws_iam_role_policy":
        return values["role"] in PARTS.roles
    tagged = (values.get("tags_all") or {}).get("zave:standing") == "true"
    return kind in _MAKERS and (tagged or kind in _WITHOUT_TAGS)


def make(api: Api, kind: str, values: Values) -> None:
    """One part, from Terraform's values of it."""
    _MAKERS[kind](api, values)


def make_bucket(api: Api) -> None:
    """The state bucket."""
    here: dict[str, Any] = {"Bucket": PARTS.bucket}
    api.call("s3", "create_bucket", **here)
    api.call("s3", "put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"}, **here)
    closed = dict.fromkeys(
        ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
    )
    api.call("s3", "put_public_access_block", PublicAccessBlockConfiguration=closed, **here)
    api.call("s3", "put_bucket_tagging", Tagging={"TagSet": pairs(TAGS)}, **here)


def delete_bucket(api: Api) -> None:
    """The state bucket goes, with all versions of what is in it."""
    here: dict[str, Any] = {"Bucket": PARTS.bucket}
    found = api.call("s3", "list_object_versions", **here)
    for each in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
        api.call("s3", "delete_object", Key=each["Key"], VersionId=each["VersionId"], **here)
    api.call("s3", "delete_bucket", **here)


def make_alarm(api: Api, name: str, **changes: Any) -> None:
    """One alarm, with the topic that it tells; `changes` in Terraform's words."""
    values = {**_alarm(name), **changes}
    api.call(
        "cloudwatch",
        "put_metric_alarm",
        AlarmName=values["alarm_name"],
        Namespace=values["namespace"],
        MetricName=values["metric_name"],
        Dimensions=pairs(values["dimensions"], "Name"),
        Statistic=values["statistic"],
        Period=int(values["period"]),
        EvaluationPeriods=int(values["evaluation_periods"]),
        Threshold=float(values["threshold"]),
        ComparisonOperator=values["comparison_operator"],
        TreatMissingData=values["treat_missing_data"],
        AlarmActions=list(values["alarm_actions"]),
        OKActions=list(values.get("ok_actions") or ()),
        **({"Unit": unit} if (unit := values.get("unit")) else {}),
        ActionsEnabled=values.get("actions_enabled", True) is not False,
        Tags=pairs(TAGS),
        **({"DatapointsToAlarm": int(points)} if (points := values.get("datapoints_to_alarm")) else {}),
    )


def make_project(api: Api, **changes: Any) -> None:
    """The destroyer's project; `changes` in AWS's words. moto knows no project without a source."""
    _make_project(api, _project(), **changes)


def make_role(api: Api, name: str, *, principal: dict[str, str], boundary: str | None = None) -> None:
    """A role of the switch."""
    values = {"name": name, "path": _PATH, "assume_role_policy": trust(principal)}
    make(api, "aws_iam_role", {**values, "permissions_boundary": boundary or PARTS.boundary_arn})


def _make_project(api: Api, values: Values, **changes: Any) -> None:
    machine = values["environment"][0]
    variables = [{key: each[key] for key in ("name", "value")} for each in machine["environment_variable"]]
    wanted: dict[str, Any] = {
        "name": values["name"],
        "serviceRole": values["service_role"],
        "timeoutInMinutes": int(values["build_timeout"]),
        "queuedTimeoutInMinutes": int(values["queued_timeout"]),
        "source": {"type": "S3", "location": "none/none", "buildspec": values["source"][0]["buildspec"]},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": machine["type"],
            "image": machine["image"],
            "computeType": machine["compute_type"],
            "environmentVariables": variables,
        },
        "tags": pairs(TAGS, "key", "value"),
    }
    api.call("codebuild", "create_project", **{**wanted, **changes})


def _make_policy(api: Api, values: Values) -> None:
    text = {"PolicyName": values["name"], "Path": values["path"], "PolicyDocument": values["policy"]}
    made = api.call("iam", "create_policy", Tags=pairs(TAGS), **text)
    assert made["Policy"]["Arn"] == PARTS.boundary_arn


def _make_role(api: Api, values: Values) -> None:
    api.call(
        "iam",
        "create_role",
        RoleName=values["name"],
        Path=values["path"],
        AssumeRolePolicyDocument=values["assume_role_policy"],
        PermissionsBoundary=values["permissions_boundary"],
        Tags=pairs(TAGS),
    )


def _make_role_policy(api: Api, values: Values) -> None:
    text = {"RoleName": values["role"], "PolicyName": values["name"], "PolicyDocument": values["policy"]}
    api.call("iam", "put_role_policy", **text)


def _make_lifecycle(api: Api, values: Values) -> None:
    rules = [
        {
            "ID": rule["id"],
            "Status": rule["status"],
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {
                "NoncurrentDays": int(rule["noncurrent_version_expiration"][0]["noncurrent_days"])
            },
        }
        for rule in values["rule"]
    ]
    here = {"Bucket": values["bucket"], "LifecycleConfiguration": {"Rules": rules}}
    api.call("s3", "put_bucket_lifecycle_configuration", **here)


def _make_encryption(api: Api, values: Values) -> None:
    ((rule,),) = ([each[_BY_DEFAULT] for each in values["rule"]],)
    by_default = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": rule[0]["sse_algorithm"]}}
    here = {"Bucket": values["bucket"], "ServerSideEncryptionConfiguration": {"Rules": [by_default]}}
    api.call("s3", "put_bucket_encryption", **here)


def _make_owners(api: Api, values: Values) -> None:
    rules = [{"ObjectOwnership": each["object_ownership"]} for each in values["rule"]]
    here = {"Bucket": values["bucket"], "OwnershipControls": {"Rules": rules}}
    api.call("s3", "put_bucket_ownership_controls", **here)


def _make_queue(api: Api, values: Values) -> None:
    kept = {"MessageRetentionPeriod": str(int(values["message_retention_seconds"]))}
    api.call("sqs", "create_queue", QueueName=values["name"], Attributes=kept, tags=TAGS)


def _make_topic_policy(api: Api, values: Values) -> None:
    policy = {"AttributeName": "Policy", "AttributeValue": values["policy"]}
    api.call("sns", "set_topic_attributes", TopicArn=PARTS.topic_arn, **policy)


def _make_subscription(api: Api, values: Values) -> None:
    who = {"Protocol": values["protocol"], "Endpoint": values["endpoint"]}
    api.call("sns", "subscribe", TopicArn=PARTS.topic_arn, **who)


def _make_log_group(api: Api, values: Values) -> None:
    api.call("logs", "create_log_group", logGroupName=values["name"], tags=TAGS)
    days = int(values["retention_in_days"])
    api.call("logs", "put_retention_policy", logGroupName=values["name"], retentionInDays=days)


def _make_budget(api: Api, values: Values) -> None:
    notices = [
        {
            "Notification": {
                "NotificationType": "ACTUAL",
                "ComparisonOperator": "GREATER_THAN",
                "Threshold": float(each["threshold"]),
                "ThresholdType": "PERCENTAGE",
            },
            "Subscribers": [
                {"SubscriptionType": "EMAIL", "Address": address}
                for address in each["subscriber_email_addresses"]
            ],
        }
        for each in values["notification"]
    ]
    budget = {
        "BudgetName": values["name"],
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": str(values["limit_amount"]), "Unit": "USD"},
    }
    api.call(
        "budgets",
        "create_budget",
        AccountId=ACCOUNT,
        Budget=budget,
        NotificationsWithSubscribers=notices,
        ResourceTags=pairs(TAGS),
    )


_WITHOUT_TAGS = frozenset(
    {
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_sns_topic_policy",
        "aws_sns_topic_subscription",
    }
)
_MAKERS: Mapping[str, Callable[[Api, Values], object]] = {
    "aws_budgets_budget": _make_budget,
    "aws_cloudwatch_log_group": _make_log_group,
    "aws_cloudwatch_metric_alarm": lambda api, values: make_alarm(api, values["alarm_name"], **values),
    "aws_codebuild_project": _make_project,
    "aws_iam_policy": _make_policy,
    "aws_iam_role": _make_role,
    "aws_iam_role_policy": _make_role_policy,
    "aws_s3_bucket_lifecycle_configuration": _make_lifecycle,
    "aws_s3_bucket_policy": lambda api, values: api.call(
        "s3", "put_bucket_policy", Bucket=values["bucket"], Policy=values["policy"]
    ),
    "aws_s3_bucket_ownership_controls": _make_owners,
    "aws_s3_bucket_server_side_encryption_configuration": _make_encryption,
    "aws_scheduler_schedule_group": lambda api, values: api.call(
        "scheduler", "create_schedule_group", Name=values["name"], Tags=pairs(TAGS)
    ),
    "aws_sns_topic": lambda api, values: api.call(
        "sns", "create_topic", Name=values["name"], Tags=pairs(TAGS)
    ),
    "aws_sns_topic_policy": _make_topic_policy,
    "aws_sns_topic_subscription": _make_subscription,
    "aws_sqs_queue": _make_queue,
}
