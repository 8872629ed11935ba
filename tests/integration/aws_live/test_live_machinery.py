"""The switch's standing parts by boto3: what is missing or altered has a name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.aws_live.standing import (
    ACCOUNT,
    PARTS,
    delete_bucket,
    document,
    make_alarm,
    make_bucket,
    make_project,
    make_role,
    trust,
)
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from zave.aws.keys import ACCOUNT_STATE
from zave.aws.live.api import Api
from zave.aws.live.cloud import LiveCloud
from zave.aws.switch import read_back
from zave.errors import PreconditionError, StepFailedError


def test_an_account_that_is_set_up_lacks_nothing(cloud: LiveCloud) -> None:
    machinery = cloud.switchboard.machinery()
    assert machinery.missing == ()
    assert machinery.subscription_confirmed


def test_an_empty_account_lacks_everything(api: Api, clock: FakeClock) -> None:
    machinery = LiveCloud(api, clock=clock).switchboard.machinery()
    assert set(machinery.missing) >= {
        "state bucket",
        "schedule group",
        "destroyer project",
        "dead-letter queue",
        "topic for alarms",
        "roles of scheduler and destroyer",
    }
    assert not machinery.subscription_confirmed


def _no_boundary(api: Api) -> None:
    name = next(iter(PARTS.roles))
    api.call("iam", "delete_role_policy", RoleName=name, PolicyName="fire")
    api.call("iam", "delete_role", RoleName=name)
    make_role(
        api,
        name,
        principal={"Service": "scheduler.amazonaws.com"},
        boundary=f"arn:aws:iam::{ACCOUNT}:policy/zave/standing/wider",
    )
    api.call("iam", "put_role_policy", RoleName=name, PolicyName="fire", PolicyDocument=document("fire"))


def _expiring(api: Api) -> None:
    """What is current goes as well: states, bundles, receipts."""
    rule = {"ID": "old-versions", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    rule |= {"NoncurrentVersionExpiration": {"NoncurrentDays": 90}}
    rules = {"Bucket": PARTS.bucket, "LifecycleConfiguration": {"Rules": [rule]}}
    api.call("s3", "put_bucket_lifecycle_configuration", **rules)


def _attached(api: Api) -> None:
    wide = api.call("iam", "create_policy", PolicyName="wide", PolicyDocument=document("wide"))
    api.call("iam", "attach_role_policy", RoleName=_BUILDER, PolicyArn=wide["Policy"]["Arn"])


def _fewer_notices(api: Api) -> None:
    notice = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 50.0,
        "ThresholdType": "PERCENTAGE",
    }
    which = {"AccountId": ACCOUNT, "BudgetName": PARTS.budget}
    api.call("budgets", "delete_notification", Notification=notice, **which)


def _without(service: str, operation: str, **parameters: Any) -> Callable[[Api], object]:
    return lambda api: api.call(service, operation, **parameters)


def _project(**changes: Any) -> Callable[[Api], object]:
    def change(api: Api) -> None:
        api.call("codebuild", "delete_project", name=PARTS.project)
        make_project(api, **changes)

    return change


def _environment(**changes: Any) -> Callable[[Api], object]:
    """Change what the project runs on, as somebody in the console would."""

    def change(api: Api) -> None:
        (found,) = api.call("codebuild", "batch_get_projects", names=[PARTS.project])["projects"]
        _project(environment={**found["environment"], **changes})(api)

    return change


def _stored_variable(api: Api) -> None:
    """The bucket's name is that of a parameter now."""
    (found,) = api.call("codebuild", "batch_get_projects", names=[PARTS.project])["projects"]
    told = [
        {**each, "type": "PARAMETER_STORE"} if each["name"] == "ZAVE_BUCKET" else each
        for each in found["environment"]["environmentVariables"]
    ]
    _environment(environmentVariables=told)(api)


def _own_key(api: Api) -> None:
    by = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/0a"}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by}]}
    here = {"Bucket": PARTS.bucket, "ServerSideEncryptionConfiguration": rules}
    api.call("s3", "put_bucket_encryption", **here)


def _budget(**changes: Any) -> Callable[[Api], object]:
    """moto has no call that changes one: it is made anew."""

    def change(api: Api) -> None:
        which = {"AccountId": ACCOUNT, "BudgetName": PARTS.budget}
        found = api.call("budgets", "describe_budget", **which)["Budget"]
        api.call("budgets", "delete_budget", **which)
        kept = {name: found[name] for name in ("BudgetName", "BudgetType", "TimeUnit", "BudgetLimit")}
        api.call("budgets", "create_budget", AccountId=ACCOUNT, Budget={**kept, **changes})

    return change


MODULE = Path(__file__).parents[3] / "terraform-modules" / "aws-ttl"
_SCHEDULER, _BUILDER, _DESTROYER = PARTS.roles
TRUSTS_NOBODY = trust({"Service": "ec2.amazonaws.com"})


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (delete_bucket, "state bucket"),
        (
            _without(
                "s3",
                "put_bucket_versioning",
                Bucket=PARTS.bucket,
                VersioningConfiguration={"Status": "Suspended"},
            ),
            "versioning of the state bucket",
        ),
        (
            _without("s3", "delete_public_access_block", Bucket=PARTS.bucket),
            "public access block of the state bucket",
        ),
        (_without("scheduler", "delete_schedule_group", Name=PARTS.group), "schedule group"),
        (_without("codebuild", "delete_project", name=PARTS.project), "destroyer project"),
        (
            _project(serviceRole=f"arn:aws:iam::{ACCOUNT}:role/other"),
            f"service role of project {PARTS.project}",
        ),
        (
            _project(
                environment={
                    "type": "LINUX_CONTAINER",
                    "image": "x",
                    "computeType": "BUILD_GENERAL1_SMALL",
                    "environmentVariables": [{"name": "ZAVE_BUCKET", "value": "elsewhere"}],
                }
            ),
            f"environment of project {PARTS.project}",
        ),
        (
            _project(source={"type": "S3", "location": "a/b", "buildspec": "phases: {}"}),
            f"build specification of project {PARTS.project}",
        ),
        (
            # of a zave whose bundles were to have their programs in them
            _project(source={"type": "S3", "location": "a/b", "buildspec": "zave reap --from-bundle bundle"}),
            f"build specification of project {PARTS.project}",
        ),
        (
            _without("sqs", "delete_queue", QueueUrl=f"http://sqs/{ACCOUNT}/{PARTS.queue}"),
            "dead-letter queue",
        ),
        (_without("sns", "delete_topic", TopicArn=PARTS.topic_arn), "topic for alarms"),
        (_without("cloudwatch", "delete_alarms", AlarmNames=[PARTS.alarms[0]]), f"alarm {PARTS.alarms[0]}"),
        (lambda api: make_alarm(api, PARTS.alarms[1], actions_enabled=False), f"alarm {PARTS.alarms[1]}"),
        (
            lambda api: make_alarm(api, PARTS.alarms[0], metric_name="Builds"),
            f"what alarm {PARTS.alarms[0]} looks at",
        ),
        (
            _without("iam", "delete_role_policy", RoleName=_BUILDER, PolicyName="run"),
            f"rights of role {_BUILDER}",
        ),
        (
            _without("iam", "update_assume_role_policy", RoleName=_SCHEDULER, PolicyDocument=TRUSTS_NOBODY),
            f"trust of role {_SCHEDULER}",
        ),
        (
            _without("iam", "update_assume_role_policy", RoleName=_DESTROYER, PolicyDocument=TRUSTS_NOBODY),
            f"trust of role {_DESTROYER}",
        ),
        (_no_boundary, f"permissions boundary of role {_SCHEDULER}"),
        (
            _without("s3", "delete_object", Bucket=PARTS.bucket, Key=ACCOUNT_STATE),
            f"Terraform's state of the standing parts in {PARTS.bucket}",
        ),
        (_without("s3", "delete_bucket_policy", Bucket=PARTS.bucket), "policy of the state bucket"),
        (_expiring, "lifecycle of the state bucket"),
        (
            _without(
                "iam",
                "put_role_policy",
                RoleName=_DESTROYER,
                PolicyName="delete-by-tag",
                PolicyDocument=document("deletebytag", "ec2:DeleteVpc"),
            ),
            f"rights of role {_DESTROYER}: policy delete-by-tag",
        ),
        (
            _without(
                "iam",
                "put_role_policy",
                RoleName=_DESTROYER,
                PolicyName="more",
                PolicyDocument=document("more"),
            ),
            f"rights of role {_DESTROYER}, which zave did not give: more",
        ),
        (
            _attached,
            f"rights of role {_BUILDER}, which zave did not give: wide",
        ),
        (
            # the service may still take it on, but so may another account
            _without(
                "iam",
                "update_assume_role_policy",
                RoleName=_SCHEDULER,
                PolicyDocument=trust({"Service": "scheduler.amazonaws.com", "AWS": "210987654321"}),
            ),
            f"trust of role {_SCHEDULER}",
        ),
        (
            _without(
                "iam",
                "create_policy_version",
                PolicyArn=PARTS.boundary_arn,
                PolicyDocument=document("boundary", "ec2:RunInstances"),
                SetAsDefault=True,
            ),
            "permissions boundary",
        ),
        (
            _without(
                "sqs",
                "set_queue_attributes",
                QueueUrl=f"http://sqs/{ACCOUNT}/{PARTS.queue}",
                Attributes={"MessageRetentionPeriod": "60"},
            ),
            "settings of the dead-letter queue",
        ),
        (
            _without(
                "sns",
                "set_topic_attributes",
                TopicArn=PARTS.topic_arn,
                AttributeName="Policy",
                AttributeValue=document("others"),
            ),
            "who may tell the topic for alarms",
        ),
        (
            lambda api: make_alarm(api, PARTS.alarms[0], evaluation_periods=96),
            f"what alarm {PARTS.alarms[0]} waits for",
        ),
        (
            lambda api: make_alarm(api, PARTS.alarms[0], dimensions={"ProjectName": "another"}),
            f"what alarm {PARTS.alarms[0]} waits for",
        ),
        (_project(timeoutInMinutes=5), f"what project {PARTS.project} runs on"),
        (
            _project(vpcConfig={"vpcId": "vpc-1", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}),
            f"what project {PARTS.project} runs on",
        ),
        (
            _project(
                source={
                    "type": "S3",
                    "location": "a/b",
                    "buildspec": "true # ZAVE_PROGRAMS_SHA256 reap --from-bundle",
                }
            ),
            f"build specification of project {PARTS.project}",
        ),
        (_without("logs", "delete_log_group", logGroupName=PARTS.log_group), "log group of the destroyer"),
        (
            _without("logs", "put_retention_policy", logGroupName=PARTS.log_group, retentionInDays=1),
            "how long the destroyer's log is kept",
        ),
        (
            _without("budgets", "delete_budget", AccountId=ACCOUNT, BudgetName=PARTS.budget),
            f"budget {PARTS.budget}",
        ),
        (_fewer_notices, f"percentages of budget {PARTS.budget}, or whom it tells"),
        (_budget(TimeUnit="ANNUALLY"), f"what budget {PARTS.budget} counts"),
        (_budget(BudgetLimit={"Amount": "5000", "Unit": "USD"}), f"what budget {PARTS.budget} counts"),
        (_budget(BudgetLimit={"Amount": "50", "Unit": "JPY"}), f"what budget {PARTS.budget} counts"),
        (_budget(CostFilters={"Service": ["Amazon Chime"]}), f"what budget {PARTS.budget} counts"),
        (_environment(type="ARM_CONTAINER"), f"what project {PARTS.project} runs on"),
        (_environment(privilegedMode=True), f"what project {PARTS.project} runs on"),
        (_stored_variable, f"what project {PARTS.project} runs on"),
        (
            lambda api: make_alarm(api, PARTS.alarms[0], ok_actions=[]),
            f"what alarm {PARTS.alarms[0]} waits for",
        ),
        (
            lambda api: make_alarm(api, PARTS.alarms[0], unit="Count"),
            f"what alarm {PARTS.alarms[0]} waits for",
        ),
        (_own_key, "encryption of the state bucket"),
        (
            _without("s3", "delete_bucket_encryption", Bucket=PARTS.bucket),
            "encryption of the state bucket",
        ),
        (
            _without("s3", "delete_bucket_ownership_controls", Bucket=PARTS.bucket),
            "whose the objects of the state bucket are",
        ),
    ],
)
def test_a_part_that_is_missing_or_altered_has_a_name(
    change: Callable[[Api], object], missing: str, cloud: LiveCloud, api: Api
) -> None:
    change(api)
    assert missing in cloud.switchboard.machinery().missing


@pytest.mark.parametrize(
    ("refused", "unread"),
    [
        ("budgets:", "budget (AccessDeniedException)"),
        ("logs:", "log group of the destroyer (AccessDeniedException)"),
        ("sqs:", "dead-letter queue (AccessDeniedException)"),
        (
            f"s3:GET /{PARTS.bucket}/account",
            "Terraform's state of the standing parts (AccessDeniedException)",
        ),
    ],
)
def test_what_a_caller_may_not_see_beside_the_way_of_a_fire_is_told(
    refused: str, unread: str, cloud: LiveCloud, server: MotoServer
) -> None:
    for _ in range(4):
        server.refuse(refused, code="AccessDeniedException", status=403)
    machinery = cloud.switchboard.machinery()
    assert machinery.ready
    assert machinery.unread == (unread,)


def test_what_waits_in_the_dead_letter_queue_is_counted_and_told(
    cloud: LiveCloud, api: Api, clock: FakeClock
) -> None:
    url = f"http://sqs/{ACCOUNT}/{PARTS.queue}"
    for _ in range(3):
        api.call("sqs", "send_message", QueueUrl=url, MessageBody="{}")
    machinery = cloud.switchboard.machinery()
    assert (machinery.ready, machinery.undelivered) == (True, 3)
    warnings = {each.kind: each.text for each in read_back(cloud, clock, instance="demo").warnings}
    assert warnings["undelivered"].startswith("3 fires or mails")


def test_whom_a_budget_tells_is_compared(cloud: LiveCloud, server: MotoServer) -> None:
    theirs = {"SubscriptionType": "EMAIL", "Address": "nobody@example.org"}
    server.answer("budgets:DescribeSubscribersForNotification", {"Subscribers": [theirs]})
    assert cloud.switchboard.machinery().missing == (
        f"percentages of budget {PARTS.budget}, or whom it tells",
    )


_PENDING = f"""<ListSubscriptionsByTopicResponse><ListSubscriptionsByTopicResult><Subscriptions><member>
<Owner>{ACCOUNT}</Owner><Protocol>email</Protocol><Endpoint>alarms@example.org</Endpoint>
<SubscriptionArn>PendingConfirmation</SubscriptionArn><TopicArn>{PARTS.topic_arn}</TopicArn>
</member></Subscriptions></ListSubscriptionsByTopicResult></ListSubscriptionsByTopicResponse>"""


def test_an_address_that_did_not_confirm_hears_nothing(cloud: LiveCloud, server: MotoServer) -> None:
    # moto confirms every address at once
    server.answer("sns:ListSubscriptionsByTopic", _PENDING)
    machinery = cloud.switchboard.machinery()
    assert machinery.missing == ()
    assert not machinery.subscription_confirmed


def test_each_address_is_known_by_itself_and_subscribed_once(
    cloud: LiveCloud, api: Api, server: MotoServer
) -> None:
    board = cloud.switchboard
    assert board.machinery().subscribers == {"alarms@example.org": True}
    for _ in range(2):
        board.subscribe("Me@example.org")
    assert server.calls().count("sns:Subscribe") == 2  # the account's own is one
    assert board.machinery().subscribers == {"alarms@example.org": True, "me@example.org": True}
    # one that waits gets no second link
    server.answer("sns:ListSubscriptionsByTopic", _PENDING)
    assert board.machinery().subscribers == {"alarms@example.org": False}
    board.subscribe("alarms@example.org")
    assert server.calls().count("sns:Subscribe") == 2


def test_a_topic_without_addresses_is_heard_by_nobody(cloud: LiveCloud, api: Api) -> None:
    for each in api.call("sns", "list_subscriptions")["Subscriptions"]:
        api.call("sns", "unsubscribe", SubscriptionArn=each["SubscriptionArn"])
    assert not cloud.switchboard.machinery().subscription_confirmed


def test_what_may_not_be_asked_is_no_part_that_is_missing(cloud: LiveCloud, server: MotoServer) -> None:
    server.refuse("iam:GetRole", code="AccessDenied", status=403)
    with pytest.raises(StepFailedError, match="AWS refused iam:get_role"):
        cloud.switchboard.machinery()


def test_an_unreachable_service_is_no_empty_machinery(api: Api, server: MotoServer, clock: FakeClock) -> None:
    make_bucket(api)
    cloud = LiveCloud(Api(region="us-east-1", endpoint_url=server.url, attempts=1), clock=clock)
    assert cloud.caller().account == ACCOUNT
    board = cloud.switchboard
    server.refuse("codebuild:", code="ExpiredTokenException")
    with pytest.raises(PreconditionError, match="expired"):
        board.machinery()


def test_names_are_those_that_terraform_gives() -> None:
    """The module's own words, with what Terraform fills in."""
    text = "".join(path.read_text() for path in MODULE.glob("*.tf"))
    text = text.replace("${local.here}", f"us-east-1-{ACCOUNT}").replace("${local.account}", ACCOUNT)
    names = [PARTS.group, PARTS.project, PARTS.queue, PARTS.topic_arn.rpartition(":")[2], *PARTS.alarms]
    names += [name for name in PARTS.roles if "destroyer" not in name]
    names += [PARTS.boundary_arn.rpartition("/")[2]]
    missing = [name for name in names if f'"{name}"' not in text]
    assert not missing
    policies = [policy for found in PARTS.roles.values() for policy in found]
    assert all(f'name = "{policy}"' in " ".join(text.split()) for policy in policies)
