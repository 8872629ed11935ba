"""How a person deletes an AWS object by hand, for receipts and leaks: one line of the AWS CLI."""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from zave.ports import Item

# AWS CLI v2 command reference; `{...}` are attributes, `id` and `name` the item's own
_COMMANDS: Final[Mapping[str, str]] = {
    "aws_budgets_budget": "budgets delete-budget --account-id {account_id} --budget-name {name}",
    "aws_cloudwatch_event_rule": "events delete-rule --force --name {tail}",
    "aws_cloudwatch_event_target": "events remove-targets --rule {rule} --ids {target_id}",
    "aws_cloudwatch_log_group": "logs delete-log-group --log-group-name {name}",
    "aws_cloudwatch_metric_alarm": "cloudwatch delete-alarms --alarm-names {name}",
    "aws_codebuild_project": "codebuild delete-project --name {name}",
    "aws_db_instance": "rds delete-db-instance --skip-final-snapshot --db-instance-identifier {identifier}",
    "aws_db_parameter_group": "rds delete-db-parameter-group --db-parameter-group-name {name}",
    "aws_db_subnet_group": "rds delete-db-subnet-group --db-subnet-group-name {name}",
    "aws_dynamodb_table": "dynamodb delete-table --table-name {name}",
    "aws_ebs_volume": "ec2 delete-volume --volume-id {id}",
    "aws_ecr_repository": "ecr delete-repository --force --repository-name {name}",
    "aws_eip": "ec2 release-address --allocation-id {id}",
    "aws_eks_access_entry": "eks delete-access-entry --cluster-name {cluster_name} "
    "--principal-arn {principal_arn}",
    "aws_eks_addon": "eks delete-addon --cluster-name {cluster_name} --addon-name {addon_name}",
    "aws_eks_cluster": "eks delete-cluster --name {name}",
    "aws_eks_node_group": "eks delete-nodegroup --cluster-name {cluster_name} "
    "--nodegroup-name {node_group_name}",
    "aws_eks_pod_identity_association": "eks delete-pod-identity-association --cluster-name {cluster_name} "
    "--association-id {association_id}",
    "aws_flow_log": "ec2 delete-flow-logs --flow-log-ids {id}",
    "aws_iam_instance_profile": "iam delete-instance-profile --instance-profile-name {name}",
    "aws_iam_openid_connect_provider": "iam delete-open-id-connect-provider "
    "--open-id-connect-provider-arn {arn}",
    "aws_iam_policy": "iam delete-policy --policy-arn {arn}",
    "aws_iam_role": "iam delete-role --role-name {name}",
    "aws_iam_role_policy": "iam delete-role-policy --role-name {role} --policy-name {tail}",
    "aws_iam_role_policy_attachment": "iam detach-role-policy --role-name {role} --policy-arn {policy_arn}",
    "aws_instance": "ec2 terminate-instances --instance-ids {id}",
    "aws_internet_gateway": "ec2 delete-internet-gateway --internet-gateway-id {id}",
    "aws_kms_alias": "kms delete-alias --alias-name {name}",
    "aws_kms_key": "kms schedule-key-deletion --pending-window-in-days 7 --key-id {key_id}",
    "aws_launch_template": "ec2 delete-launch-template --launch-template-id {id}",
    "aws_lb": "elbv2 delete-load-balancer --load-balancer-arn {arn}",
    "aws_lb_listener": "elbv2 delete-listener --listener-arn {arn}",
    "aws_lb_target_group": "elbv2 delete-target-group --target-group-arn {arn}",
    "aws_nat_gateway": "ec2 delete-nat-gateway --nat-gateway-id {id}",
    "aws_network_interface": "ec2 delete-network-interface --network-interface-id {id}",
    "aws_route": "ec2 delete-route --route-table-id {route_table_id} "
    "--destination-cidr-block {destination_cidr_block}",
    "aws_route_table": "ec2 delete-route-table --route-table-id {id}",
    "aws_s3_bucket": "s3 rb --force s3://{name}",
    "aws_scheduler_schedule": "scheduler delete-schedule --group-name {group_name} --name {tail}",
    "aws_scheduler_schedule_group": "scheduler delete-schedule-group --name {name}",
    "aws_security_group": "ec2 delete-security-group --group-id {id}",
    "aws_sns_topic": "sns delete-topic --topic-arn {arn}",
    "aws_sns_topic_subscription": "sns unsubscribe --subscription-arn {arn}",
    "aws_sqs_queue": "sqs delete-queue --queue-url {url}",
    "aws_subnet": "ec2 delete-subnet --subnet-id {id}",
    "aws_vpc": "ec2 delete-vpc --vpc-id {id}",
    "aws_vpc_endpoint": "ec2 delete-vpc-endpoints --vpc-endpoint-ids {id}",
}

_PLACE = re.compile(r"\{([a-z0-9_]+)\}")


def how_to_delete(item: Item, *, region: str) -> str:
    """One command line for a shell; what the AWS CLI has no call for goes with something else."""
    template = _COMMANDS.get(item.type)
    if template is None:
        return f"it goes with what it is part of ({item.type} {item.name})"
    known = {
        "name": item.name,
        **item.attributes,
        "id": item.id,
        # an identity such as `default/rule`, without what it is in
        "tail": item.attributes.get("name") or item.name.rpartition("/")[2],
    }
    filled = _PLACE.sub(lambda match: shlex.quote(known.get(match[1]) or item.id), template)
    return f"aws --region {shlex.quote(region)} {filled}"
