"""How each type is deleted: one or more calls, filled in from an item's attributes.

A type without any goes with what it is a part of. Parameters: botocore's models 1.44 of 2026-11.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from zave.aws.live.api import Api, RefusedError
from zave.ports import Item

_PLACE = re.compile(r"\{([a-z0-9_]+)\}")
# KMS takes 7 days at least (API reference, ScheduleKeyDeletion)
_KEY_DAYS = 7
_GONE = re.compile(
    r"NoSuchEntity|404|.*NotFound(Exception|Fault)?|.*\.NotFound|.*NonExistentQueue|QueueDoesNotExist"
    r"|NoSuchBucket|InvalidAllocationID.*|ResourceNotFoundException|InvalidLaunchTemplateId\..*"
)


@dataclass(frozen=True)
class Call:
    """One call, `service:operation`. `{name}` in a parameter stands for an attribute of the item.

    A call with `only_with` is left out unless the item has that attribute with that value (any value
    where it is empty). Refusals with one of `fine` are as good as done.
    """

    call: str
    parameters: Mapping[str, Any]
    only_with: tuple[str, str] | None = None
    fine: frozenset[str] = field(default_factory=frozenset)


def _one(call: str, **parameters: Any) -> tuple[Call, ...]:
    return (Call(call, parameters),)


_PENDING: Final = frozenset({"KMSInvalidStateException"})
_DETACHED: Final = frozenset({"Gateway.NotAttached", "InvalidAssociationID.NotFound"})

_OF_CLUSTER = {"clusterName": "{cluster_name}"}
_RULE_OF_GROUP = {"GroupId": "{security_group_id}", "SecurityGroupRuleIds": ["{id}"]}

DELETIONS: Final[Mapping[str, tuple[Call, ...]]] = {
    "aws_ami": _one("ec2:deregister_image", ImageId="{id}"),
    "aws_autoscaling_group": _one(
        "autoscaling:delete_auto_scaling_group", AutoScalingGroupName="{name}", ForceDelete=True
    ),
    "aws_budgets_budget": _one("budgets:delete_budget", AccountId="{account_id}", BudgetName="{name}"),
    "aws_cloudwatch_event_rule": _one("events:delete_rule", Name="{name}"),
    "aws_cloudwatch_event_target": _one("events:remove_targets", Rule="{rule}", Ids=["{target_id}"]),
    "aws_cloudwatch_log_group": _one("logs:delete_log_group", logGroupName="{name}"),
    "aws_cloudwatch_metric_alarm": _one("cloudwatch:delete_alarms", AlarmNames=["{alarm_name}"]),
    "aws_codebuild_project": _one("codebuild:delete_project", name="{name}"),
    "aws_db_instance": _one(
        "rds:delete_db_instance",
        DBInstanceIdentifier="{identifier}",
        SkipFinalSnapshot=True,
        DeleteAutomatedBackups=True,
    ),
    "aws_db_snapshot": _one("rds:delete_db_snapshot", DBSnapshotIdentifier="{id}"),
    "aws_db_subnet_group": _one("rds:delete_db_subnet_group", DBSubnetGroupName="{name}"),
    "aws_dynamodb_table": _one("dynamodb:delete_table", TableName="{name}"),
    "aws_ebs_snapshot": _one("ec2:delete_snapshot", SnapshotId="{id}"),
    "aws_ebs_volume": _one("ec2:delete_volume", VolumeId="{id}"),
    "aws_ecr_lifecycle_policy": _one("ecr:delete_lifecycle_policy", repositoryName="{repository}"),
    "aws_ecr_repository": _one("ecr:delete_repository", repositoryName="{name}", force=True),
    "aws_eip": (
        Call(
            "ec2:disassociate_address",
            {"AssociationId": "{association_id}"},
            only_with=("association_id", ""),
            fine=_DETACHED,
        ),
        Call("ec2:release_address", {"AllocationId": "{id}"}),
    ),
    "aws_eks_access_entry": _one("eks:delete_access_entry", **_OF_CLUSTER, principalArn="{principal_arn}"),
    "aws_eks_access_policy_association": _one(
        "eks:disassociate_access_policy",
        **_OF_CLUSTER,
        principalArn="{principal_arn}",
        policyArn="{policy_arn}",
    ),
    "aws_eks_addon": _one("eks:delete_addon", **_OF_CLUSTER, addonName="{addon_name}"),
    "aws_eks_cluster": (
        # since 2025-08 a cluster may be protected, and then outlives its switch
        Call(
            "eks:update_cluster_config",
            {"name": "{name}", "deletionProtection": False},
            only_with=("deletion_protection", "true"),
        ),
        Call("eks:delete_cluster", {"name": "{name}"}),
    ),
    "aws_eks_node_group": _one("eks:delete_nodegroup", **_OF_CLUSTER, nodegroupName="{node_group_name}"),
    "aws_eks_pod_identity_association": _one(
        "eks:delete_pod_identity_association", **_OF_CLUSTER, associationId="{association_id}"
    ),
    "aws_elb": _one("elb:delete_load_balancer", LoadBalancerName="{name}"),
    "aws_flow_log": _one("ec2:delete_flow_logs", FlowLogIds=["{id}"]),
    "aws_iam_instance_profile": (
        Call(
            "iam:remove_role_from_instance_profile",
            {"InstanceProfileName": "{name}", "RoleName": "{role}"},
            only_with=("role", ""),
        ),
        Call("iam:delete_instance_profile", {"InstanceProfileName": "{name}"}),
    ),
    "aws_iam_openid_connect_provider": _one(
        "iam:delete_open_id_connect_provider", OpenIDConnectProviderArn="{arn}"
    ),
    "aws_iam_policy": _one("iam:delete_policy", PolicyArn="{arn}"),
    "aws_iam_role": _one("iam:delete_role", RoleName="{name}"),
    "aws_iam_role_policy": _one("iam:delete_role_policy", RoleName="{role}", PolicyName="{name}"),
    "aws_iam_role_policy_attachment": _one(
        "iam:detach_role_policy", RoleName="{role}", PolicyArn="{policy_arn}"
    ),
    "aws_instance": _one("ec2:terminate_instances", InstanceIds=["{id}"]),
    "aws_internet_gateway": (
        Call(
            "ec2:detach_internet_gateway",
            {"InternetGatewayId": "{id}", "VpcId": "{vpc_id}"},
            only_with=("vpc_id", ""),
            fine=_DETACHED,
        ),
        Call("ec2:delete_internet_gateway", {"InternetGatewayId": "{id}"}),
    ),
    "aws_kms_alias": _one("kms:delete_alias", AliasName="{name}"),
    "aws_kms_key": (
        Call(
            "kms:schedule_key_deletion",
            {"KeyId": "{key_id}", "PendingWindowInDays": _KEY_DAYS},
            fine=_PENDING,
        ),
    ),
    "aws_launch_template": _one("ec2:delete_launch_template", LaunchTemplateId="{id}"),
    "aws_lb": _one("elbv2:delete_load_balancer", LoadBalancerArn="{arn}"),
    "aws_lb_listener": _one("elbv2:delete_listener", ListenerArn="{arn}"),
    "aws_lb_target_group": _one("elbv2:delete_target_group", TargetGroupArn="{arn}"),
    "aws_nat_gateway": _one("ec2:delete_nat_gateway", NatGatewayId="{id}"),
    "aws_network_interface": _one("ec2:delete_network_interface", NetworkInterfaceId="{id}"),
    "aws_route": (
        Call(
            "ec2:delete_route",
            {"RouteTableId": "{route_table_id}", "DestinationCidrBlock": "{destination_cidr_block}"},
            only_with=("destination_cidr_block", ""),
        ),
        Call(
            "ec2:delete_route",
            {"RouteTableId": "{route_table_id}", "DestinationIpv6CidrBlock": "{destination_ipv6_cidr_block}"},
            only_with=("destination_ipv6_cidr_block", ""),
        ),
        Call(
            "ec2:delete_route",
            {"RouteTableId": "{route_table_id}", "DestinationPrefixListId": "{destination_prefix_list_id}"},
            only_with=("destination_prefix_list_id", ""),
        ),
    ),
    "aws_route_table": _one("ec2:delete_route_table", RouteTableId="{id}"),
    "aws_route_table_association": _one("ec2:disassociate_route_table", AssociationId="{id}"),
    "aws_s3_bucket": _one("s3:delete_bucket", Bucket="{bucket}"),
    "aws_scheduler_schedule_group": _one("scheduler:delete_schedule_group", Name="{name}"),
    "aws_secretsmanager_secret": _one(
        "secretsmanager:delete_secret", SecretId="{arn}", ForceDeleteWithoutRecovery=True
    ),
    "aws_security_group": _one("ec2:delete_security_group", GroupId="{id}"),
    "aws_sns_topic": _one("sns:delete_topic", TopicArn="{arn}"),
    "aws_sns_topic_subscription": _one("sns:unsubscribe", SubscriptionArn="{arn}"),
    "aws_sqs_queue": _one("sqs:delete_queue", QueueUrl="{url}"),
    "aws_subnet": _one("ec2:delete_subnet", SubnetId="{id}"),
    "aws_vpc": _one("ec2:delete_vpc", VpcId="{id}"),
    "aws_vpc_endpoint": _one("ec2:delete_vpc_endpoints", VpcEndpointIds=["{id}"]),
    "aws_vpc_security_group_egress_rule": _one("ec2:revoke_security_group_egress", **_RULE_OF_GROUP),
    "aws_vpc_security_group_ingress_rule": _one("ec2:revoke_security_group_ingress", **_RULE_OF_GROUP),
}


def delete(api: Api, item: Item) -> None:
    """Make the calls. Raises RefusedError when AWS says no; what is gone already is fine."""
    known = {"name": item.name, **item.attributes, "id": item.id}
    for call in DELETIONS.get(item.type, ()):
        if call.only_with is not None and not _has(known, *call.only_with):
            continue
        service, _, operation = call.call.partition(":")
        try:
            answer = api.call(service, operation, **_filled(call.parameters, known))
        except RefusedError as error:
            if error.code not in call.fine and not _GONE.fullmatch(error.code):
                raise
            continue
        _require_done(call.call, answer)


def _require_done(call: str, answer: Mapping[str, Any]) -> None:
    """Some calls answer "yes" and list what they did not do. Raises RefusedError for that."""
    left = [each.get("Error", each) for each in answer.get("Unsuccessful", ())]
    left += answer.get("FailedEntries", ())
    for error in left:
        code = str(error.get("Code") or error.get("ErrorCode"))
        if not _GONE.fullmatch(code):
            message = str(error.get("Message") or error.get("ErrorMessage") or "")
            raise RefusedError(
                f"AWS refused {call}",
                code=code,
                message=message,
                details=f"{call}: {code}: {message}",
                resolution="run the same command again",
            )


def _has(known: Mapping[str, str], name: str, value: str) -> bool:
    return known.get(name) == value if value else bool(known.get(name))


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda match: known[match[1]], value)
    if isinstance(value, Mapping):
        return {name: _filled(inner, known) for name, inner in value.items()}
    return [_filled(inner, known) for inner in value] if isinstance(value, list) else value
