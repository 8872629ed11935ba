"""What the destroyer's role may do: all that zave asks of AWS on its way, and nothing less."""

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from zave.aws.live.api import Api
from zave.aws.live.deletions import DELETIONS
from zave.aws.live.kinds import KINDS
from zave.aws.live.listing import calls_of

pytest.importorskip("boto3", reason="the aws extra is not installed")

MODULE = Path(__file__).parents[4] / "terraform-modules" / "aws-ttl"
# actions that are not called like the API's operation (service authorization reference of AWS)
OTHER_NAMES = {
    "monitoring:DescribeAlarms": "cloudwatch:DescribeAlarms",
    "monitoring:DeleteAlarms": "cloudwatch:DeleteAlarms",
    "monitoring:ListTagsForResource": "cloudwatch:ListTagsForResource",
    "budgets:DescribeBudgets": "budgets:ViewBudget",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "tagging:GetResources": "tag:GetResources",
}
LISTS = ("looking", "deleting", "deleting_identities", "lock_actions")
# whose standing parts are taken away by Terraform, with the user's own rights
STANDING_ONLY = {
    "aws_ami",
    "aws_budgets_budget",
    "aws_cloudwatch_metric_alarm",
    "aws_codebuild_project",
    "aws_dynamodb_table",
    "aws_iam_policy",
    "aws_s3_bucket",
    "aws_scheduler_schedule_group",
    "aws_secretsmanager_secret",
    "aws_sns_topic",
    "aws_sns_topic_subscription",
}
SWITCH = [
    "s3:head_bucket",
    "s3:get_object",
    "s3:put_object",
    "s3:delete_object",
    "s3:list_objects_v2",
    "scheduler:get_schedule",
    "scheduler:list_schedules",
    "scheduler:update_schedule",
    "scheduler:delete_schedule",
    "scheduler:get_schedule_group",
    "codebuild:batch_get_builds",
    "resourcegroupstaggingapi:get_resources",
]


@pytest.fixture(scope="module")
def api() -> Api:
    """Clients that nobody calls."""
    return Api(region="us-east-1")


def action(api: Api, call: str) -> str:
    service, _, operation = call.partition(":")
    client: Any = api.client(service)
    name = client.meta.method_to_api_mapping[operation]
    prefix = client.meta.service_model.signing_name
    return OTHER_NAMES.get(f"{prefix}:{name}", f"{prefix}:{name}")


def allowed(*files: str) -> set[str]:
    """Every action that these files name; what is denied is named where it is allowed as well."""
    text = "".join((MODULE / name).read_text() for name in files)
    return set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z*]+)"', text))


def missing(wanted: Iterable[str], rights: set[str]) -> list[str]:
    return sorted(each for each in wanted if not any(fnmatch.fnmatchcase(each, right) for right in rights))


def test_the_destroyer_may_list_all_that_the_sweep_lists(api: Api) -> None:
    wanted = {action(api, call) for call in calls_of(KINDS)}
    assert len(wanted) > 50
    assert missing(wanted, allowed("permissions.tf")) == []


def test_the_destroyer_may_do_what_the_switch_takes(api: Api) -> None:
    assert missing({action(api, call) for call in SWITCH}, allowed("permissions.tf")) == []


def test_the_destroyer_may_delete_every_type_that_an_instance_may_own(api: Api) -> None:
    calls = [call.call for type_, found in DELETIONS.items() if type_ not in STANDING_ONLY for call in found]
    assert missing({action(api, call) for call in calls}, allowed("permissions.tf")) == []


def test_no_right_reaches_beyond_the_boundary() -> None:
    # the boundary names these lists as they are
    text = (MODULE / "permissions.tf").read_text()
    lists = "".join(text[text.index(f"  {name} = [") :].partition("]")[0] for name in LISTS)
    named = set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z*]+)"', lists))
    assert all(f"local.{name}" in (MODULE / "boundary.tf").read_text() for name in LISTS)
    rest = {each for each in allowed("permissions.tf") - named if not each.startswith("aws:")}
    assert rest
    assert missing(rest, allowed("boundary.tf")) == []


def test_every_type_that_is_deleted_is_listed_and_every_call_is_one_of_the_sdks(api: Api) -> None:
    from zave.aws.live.inventory import LiveInventory

    types = LiveInventory(api, parts=lambda: pytest.fail("nothing is asked")).types
    assert set(DELETIONS) <= types
    for calls in DELETIONS.values():
        for call in calls:
            service, _, operation = call.call.partition(":")
            client: Any = api.client(service)
            shape = client.meta.service_model.operation_model(
                client.meta.method_to_api_mapping[operation]
            ).input_shape
            assert set(call.parameters) <= set(shape.members), call
            assert set(shape.required_members) <= set(call.parameters), call
