"""What destroying takes: the table `destroyer-actions.yaml`, and zave's own calls of AWS."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from zave.aws.live.api import Api
from zave.aws.live.deletions import DELETIONS
from zave.aws.live.kinds import KINDS
from zave.aws.live.listing import calls_of

PLACE = Path(__file__).parent / "destroyer-actions.yaml"
# whose things belong to no instance: who removes them has rights of his own
STANDING_ONLY = frozenset(
    {
        "aws_ami",
        "aws_budgets_budget",
        "aws_cloudwatch_metric_alarm",
        "aws_codebuild_project",
        "aws_dynamodb_table",
        "aws_s3_bucket",
        "aws_scheduler_schedule_group",
        "aws_secretsmanager_secret",
        "aws_sns_topic",
        "aws_sns_topic_subscription",
    }
)


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """The table as it is written."""
    found: Mapping[str, Any] = yaml.safe_load(PLACE.read_text())
    return found


def looks() -> frozenset[str]:
    """Every call that changes nothing: of Terraform's refresh, and of the sweep's lists."""
    rows = [row["looks"] for row in table()["types"].values()]
    switch = [*table()["switch_looks"], *table()["switch_looks_at_times"]]
    return _all([*rows, *table()["data"].values(), listing(), switch])


def ends() -> frozenset[str]:
    """Every call that deletes something of an instance's, by Terraform or by the sweep."""
    return _all([*(row["ends"] for row in table()["types"].values()), sweeping()])


def switching() -> frozenset[str]:
    """Every call on what the switch itself is made of: state, locks, bundles, the schedule."""
    return _all(table()[name] for name in ("backend", "lock_table", "switch", "switch_at_times"))


def listing() -> frozenset[str]:
    """The calls with which zave lists what exists."""
    return frozenset(action(call) for call in calls_of(KINDS)) | {"tag:GetResources"}


def sweeping() -> frozenset[str]:
    """The calls with which zave deletes what an instance may own."""
    calls = [call.call for type_, found in DELETIONS.items() if type_ not in STANDING_ONLY for call in found]
    return frozenset(map(action, calls))


def action(call: str) -> str:
    """The IAM action of a call that boto3 names `service:operation`."""
    service, _, operation = call.partition(":")
    client: Any = _client(service)
    return named(client.meta.service_model.signing_name, client.meta.method_to_api_mapping[operation])


def named(service: str, operation: str) -> str:
    """The IAM action of an API's operation, of the service by which requests are signed."""
    call = f"{service}:{operation}"
    found: str = table()["operations"].get(call, call)
    return found


@lru_cache(maxsize=64)
def _client(service: str) -> Any:
    return Api(region="us-east-1").client(service)


def _all(rows: Iterable[Iterable[str]]) -> frozenset[str]:
    return frozenset(action for row in rows for action in row)
