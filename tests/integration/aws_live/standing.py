"""The standing parts of an account in moto: what Terraform makes of `aws-state` and `aws-ttl`, by boto3."""

import json
from pathlib import Path
from typing import Any

from zave.aws.live.api import Api
from zave.aws.live.parts import Parts

REGION = "us-east-1"
# moto's own account
ACCOUNT = "123456789012"
PARTS = Parts(ACCOUNT, REGION, "aws", f"zave-state-{ACCOUNT}")
TAGS = {"zave:standing": "true", "zave:owner": "me@example.org", "cloud-nuke-excluded": "true"}
BUILD = Path(__file__).parents[3] / "terraform-modules" / "aws-ttl" / "build.sh"
ALLOWED = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)


def pairs(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services want them."""
    return [{key: name, value: text} for name, text in tags.items()]


def set_up(api: Api, *, bucket: bool = True) -> None:
    """Make all standing parts."""
    if bucket:
        make_bucket(api)
    _make_roles(api)
    tags = pairs(TAGS)
    api.call("scheduler", "create_schedule_group", Name=PARTS.group, Tags=tags)
    api.call("sqs", "create_queue", QueueName=PARTS.queue, tags=TAGS)
    api.call("sns", "create_topic", Name=PARTS.topic_arn.rpartition(":")[2], Tags=tags)
    api.call("sns", "subscribe", TopicArn=PARTS.topic_arn, Protocol="email", Endpoint="alarms@example.org")
    for name in PARTS.alarms:
        make_alarm(api, name)
    make_project(api)


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


def make_alarm(api: Api, name: str, **changes: Any) -> None:
    """One alarm, with the topic that it tells."""
    wanted = {
        "AlarmName": name,
        "Namespace": "AWS/CodeBuild",
        "MetricName": "FailedBuilds",
        "Statistic": "Sum",
        "Period": 1800,
        "EvaluationPeriods": 3,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "AlarmActions": [PARTS.topic_arn],
        "ActionsEnabled": True,
        "Tags": pairs(TAGS),
    }
    api.call("cloudwatch", "put_metric_alarm", **{**wanted, **changes})


def make_project(api: Api, **changes: Any) -> None:
    """The destroyer's project. moto knows no project without a source."""
    told = {"ZAVE_BUCKET": PARTS.bucket, "ZAVE_DESTROYER_ROLE": PARTS.destroyer_role_arn}
    wanted: dict[str, Any] = {
        "name": PARTS.project,
        "serviceRole": PARTS.project_role_arn,
        "source": {
            "type": "S3",
            "location": "none/none",
            "buildspec": json.dumps({"phases": {"build": {"commands": [BUILD.read_text()]}}}),
        },
        "artifacts": {"type": "NO_ARTIFACTS"},
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": pairs(told, "name", "value"),
        },
        "tags": pairs(TAGS, "key", "value"),
    }
    api.call("codebuild", "create_project", **{**wanted, **changes})


def _make_roles(api: Api) -> None:
    made = api.call(
        "iam",
        "create_policy",
        PolicyName=PARTS.boundary_arn.rpartition("/")[2],
        Path="/zave/standing/",
        PolicyDocument=ALLOWED,
        Tags=pairs(TAGS),
    )
    assert made["Policy"]["Arn"] == PARTS.boundary_arn
    services = ("scheduler", "codebuild", None)
    for (name, policies), service in zip(PARTS.roles.items(), services, strict=True):
        principal = {"Service": f"{service}.amazonaws.com"} if service else {"AWS": PARTS.project_role_arn}
        make_role(api, name, principal=principal)
        for policy in policies:
            api.call("iam", "put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=ALLOWED)


def make_role(api: Api, name: str, *, principal: dict[str, str], boundary: str | None = None) -> None:
    """A role of the switch."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}],
    }
    api.call(
        "iam",
        "create_role",
        RoleName=name,
        Path="/zave/standing/",
        AssumeRolePolicyDocument=json.dumps(trust),
        PermissionsBoundary=boundary or PARTS.boundary_arn,
        Tags=pairs(TAGS),
    )
