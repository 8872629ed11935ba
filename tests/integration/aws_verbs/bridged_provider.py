"""The rehearsal's provider for tests of real verbs: what it makes in its world, moto shows as well.

Terraform starts it as any provider. Terraform's own part is the simulated world, zave's own is moto, and
zave must see there what Terraform made: so the things that matter to it are made in both.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tf.gen import tfplugin_pb2 as pb  # type: ignore[import-untyped]

from tests.integration.aws_live import standing
from zave.aws.live.api import Api, RefusedError
from zave.rehearsal import plugin
from zave.rehearsal.provider import Provider
from zave.rehearsal.values import decode

Values = Mapping[str, Any]


class Twin:
    """moto's half."""

    def __init__(self) -> None:
        self._api = Api(region=standing.REGION, attempts=1)
        self._made: Mapping[str, Callable[[Values], object]] = {
            "aws_s3_bucket": lambda _: standing.make_bucket(self._api),
            "aws_vpc": self._make_vpc,
            "aws_eks_cluster": self._make_cluster,
        }
        self._gone: Mapping[str, Callable[[Values], object]] = {
            "aws_s3_bucket": lambda _: self._empty_bucket(),
            "aws_codebuild_project": lambda _: self._take_switch_away(),
            "aws_vpc": self._delete_vpc,
            "aws_eks_cluster": lambda values: self._call("eks", "delete_cluster", name=values["name"]),
        }

    def made(self, kind: str, values: Values) -> None:
        if standing.is_part(kind, values):
            standing.make(self._api, kind, values)
        self._made.get(kind, _nothing)(values)

    def gone(self, kind: str, values: Values) -> None:
        with suppress(RefusedError):
            self._gone.get(kind, _nothing)(values)

    def _empty_bucket(self) -> None:
        here = {"Bucket": standing.PARTS.bucket}
        found = self._call("s3", "list_object_versions", **here)
        for each in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
            self._call("s3", "delete_object", Key=each["Key"], VersionId=each["VersionId"], **here)
        self._call("s3", "delete_bucket", **here)

    def _take_switch_away(self) -> None:
        parts = standing.PARTS
        self._call("codebuild", "delete_project", name=parts.project)
        self._call("scheduler", "delete_schedule_group", Name=parts.group)
        url = self._call("sqs", "get_queue_url", QueueName=parts.queue)["QueueUrl"]
        self._call("sqs", "delete_queue", QueueUrl=url)
        self._call("sns", "delete_topic", TopicArn=parts.topic_arn)
        self._call("cloudwatch", "delete_alarms", AlarmNames=list(parts.alarms))
        for name, policies in parts.roles.items():
            for policy in policies:
                self._call("iam", "delete_role_policy", RoleName=name, PolicyName=policy)
            self._call("iam", "delete_role", RoleName=name)
        self._call("iam", "delete_policy", PolicyArn=parts.boundary_arn)
        self._call("logs", "delete_log_group", logGroupName=parts.log_group)
        self._call("budgets", "delete_budget", AccountId=parts.account, BudgetName=parts.budget)

    def _make_vpc(self, values: Values) -> None:
        tags = [{"ResourceType": "vpc", "Tags": standing.pairs(dict(values["tags_all"]))}]
        self._call("ec2", "create_vpc", CidrBlock=values["cidr_block"], TagSpecifications=tags)

    def _delete_vpc(self, values: Values) -> None:
        named = [{"Name": "tag:Name", "Values": [values["tags_all"]["Name"]]}]
        for vpc in self._call("ec2", "describe_vpcs", Filters=named)["Vpcs"]:
            self._call("ec2", "delete_vpc", VpcId=vpc["VpcId"])

    def _make_cluster(self, values: Values) -> None:
        self._call(
            "eks",
            "create_cluster",
            name=values["name"],
            roleArn=values["role_arn"],
            resourcesVpcConfig={"subnetIds": []},
            tags=dict(values["tags_all"]),
        )

    def _call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        return self._api.call(service, operation, **parameters)


def _nothing(_values: Values) -> None:
    """Of most things zave need not see more than Terraform's state tells."""


class Bridged(Provider):
    """The simulated provider, and moto beside it."""

    def apply_resource_change(
        self, request: pb.ApplyResourceChange.Request
    ) -> pb.ApplyResourceChange.Response:
        answer = super().apply_resource_change(request)
        prior, new = decode(request.prior_state.msgpack), decode(answer.new_state.msgpack)
        if not answer.diagnostics and prior is None and new is not None:
            Twin().made(request.type_name, new)
        elif not answer.diagnostics and prior is not None and new is None:
            Twin().gone(request.type_name, prior)
        return answer


if __name__ == "__main__":
    # the plugin's process is all of the provider's but its class
    setattr(plugin, "Provider", Bridged)  # noqa: B010 - no name that the module offers
    os.environ["ZAVE_WORLD"] = sys.argv[1]
    raise SystemExit(plugin.main(sys.argv[2:]))
