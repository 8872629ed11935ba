"""What names an AWS object before it exists, and what Terraform's import calls it once it does.

After a crash an object may stand that Terraform's state lacks: the planned one has the same identity
as one of the inventory, and is imported instead of being made twice.

Import formats: the Import section of each type in the documentation of hashicorp/aws 6.25
(`website/docs/r/*.html.markdown`).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

# alternatives, the first whose every part is known counts
_Templates = tuple[str, ...]

_RULE: Final[_Templates] = (
    "{tags.Name}",
    "{security_group_id}/{ip_protocol}/{from_port}-{to_port}/{cidr_ipv4}",
    "{security_group_id}/{ip_protocol}/{from_port}-{to_port}/{cidr_ipv6}",
    "{security_group_id}/{ip_protocol}/{from_port}-{to_port}/{prefix_list_id}",
    "{security_group_id}/{ip_protocol}/{from_port}-{to_port}/{referenced_security_group_id}",
    "{security_group_id}/{ip_protocol}/{cidr_ipv4}",
    "{security_group_id}/{ip_protocol}/{cidr_ipv6}",
    "{security_group_id}/{ip_protocol}/{prefix_list_id}",
    "{security_group_id}/{ip_protocol}/{referenced_security_group_id}",
)

# whatever is not in the table is named by one of these
_USUAL: Final[_Templates] = (
    "{name}",
    "{bucket}",
    "{function_name}",
    "{identifier}",
    "{alarm_name}",
    "{tags.Name}",
    "{tags_all.Name}",
)

_IDENTITY: Final[Mapping[str, _Templates]] = {
    "aws_cloudwatch_event_rule": ("{event_bus_name}/{name}", "default/{name}"),
    "aws_cloudwatch_event_target": ("{event_bus_name}/{rule}/{target_id}", "default/{rule}/{target_id}"),
    "aws_ec2_tag": ("{resource_id}/{key}",),
    "aws_ecr_lifecycle_policy": ("{repository}",),
    "aws_ecr_repository_policy": ("{repository}",),
    "aws_eks_access_entry": ("{cluster_name}/{principal_arn}",),
    "aws_eks_access_policy_association": ("{cluster_name}/{principal_arn}/{policy_arn}",),
    "aws_eks_addon": ("{cluster_name}/{addon_name}",),
    "aws_eks_node_group": ("{cluster_name}/{node_group_name}",),
    "aws_eks_pod_identity_association": ("{cluster_name}/{namespace}/{service_account}",),
    "aws_iam_openid_connect_provider": ("{url}",),
    "aws_iam_role_policies_exclusive": ("{role_name}",),
    "aws_iam_role_policy": ("{role}/{name}",),
    "aws_iam_role_policy_attachment": ("{role}/{policy_arn}",),
    "aws_iam_role_policy_attachments_exclusive": ("{role_name}",),
    "aws_kms_key_policy": ("{key_id}",),
    "aws_lb_listener": ("{load_balancer_arn}/{port}",),
    "aws_route": (
        "{route_table_id}/{destination_cidr_block}",
        "{route_table_id}/{destination_ipv6_cidr_block}",
        "{route_table_id}/{destination_prefix_list_id}",
    ),
    "aws_route_table_association": ("{subnet_id}/{route_table_id}", "{gateway_id}/{route_table_id}"),
    "aws_s3_object": ("{bucket}/{key}",),
    "aws_scheduler_schedule": ("{group_name}/{name}", "default/{name}"),
    "aws_sns_topic_policy": ("{arn}",),
    "aws_sns_topic_subscription": ("{topic_arn}/{protocol}/{endpoint}",),
    "aws_sqs_queue_policy": ("{queue_url}",),
    "aws_vpc_endpoint_route_table_association": ("{vpc_endpoint_id}/{route_table_id}",),
    "aws_vpc_security_group_egress_rule": _RULE,
    "aws_vpc_security_group_ingress_rule": _RULE,
}

_IMPORT: Final[Mapping[str, _Templates]] = {
    "aws_budgets_budget": ("{account_id}:{name}",),
    "aws_cloudwatch_event_rule": ("{event_bus_name}/{name}", "default/{name}"),
    "aws_cloudwatch_event_target": ("{event_bus_name}/{rule}/{target_id}", "default/{rule}/{target_id}"),
    "aws_cloudwatch_log_group": ("{name}",),
    "aws_cloudwatch_metric_alarm": ("{alarm_name}",),
    "aws_codebuild_project": ("{name}",),
    "aws_db_instance": ("{identifier}",),
    "aws_db_parameter_group": ("{name}",),
    "aws_db_subnet_group": ("{name}",),
    "aws_default_route_table": ("{vpc_id}",),
    "aws_dynamodb_table": ("{name}",),
    "aws_ec2_tag": ("{resource_id},{key}",),
    "aws_ecr_lifecycle_policy": ("{repository}",),
    "aws_ecr_repository": ("{name}",),
    "aws_ecr_repository_policy": ("{repository}",),
    "aws_eks_access_entry": ("{cluster_name}:{principal_arn}",),
    "aws_eks_access_policy_association": ("{cluster_name}#{principal_arn}#{policy_arn}",),
    "aws_eks_addon": ("{cluster_name}:{addon_name}",),
    "aws_eks_cluster": ("{name}",),
    "aws_eks_node_group": ("{cluster_name}:{node_group_name}",),
    "aws_eks_pod_identity_association": ("{cluster_name},{association_id}",),
    "aws_iam_instance_profile": ("{name}",),
    "aws_iam_openid_connect_provider": ("{arn}",),
    "aws_iam_policy": ("{arn}",),
    "aws_iam_role": ("{name}",),
    "aws_iam_role_policies_exclusive": ("{role_name}",),
    "aws_iam_role_policy": ("{role}:{name}",),
    "aws_iam_role_policy_attachment": ("{role}/{policy_arn}",),
    "aws_iam_role_policy_attachments_exclusive": ("{role_name}",),
    "aws_kms_alias": ("{name}",),
    "aws_kms_key": ("{key_id}",),
    "aws_kms_key_policy": ("{key_id}",),
    "aws_lb": ("{arn}",),
    "aws_lb_listener": ("{arn}",),
    "aws_lb_target_group": ("{arn}",),
    "aws_route": (
        "{route_table_id}_{destination_cidr_block}",
        "{route_table_id}_{destination_ipv6_cidr_block}",
        "{route_table_id}_{destination_prefix_list_id}",
    ),
    "aws_route_table_association": ("{subnet_id}/{route_table_id}", "{gateway_id}/{route_table_id}"),
    "aws_s3_bucket": ("{bucket}",),
    "aws_s3_bucket_lifecycle_configuration": ("{bucket}",),
    "aws_s3_bucket_logging": ("{bucket}",),
    "aws_s3_bucket_ownership_controls": ("{bucket}",),
    "aws_s3_bucket_policy": ("{bucket}",),
    "aws_s3_bucket_public_access_block": ("{bucket}",),
    "aws_s3_bucket_server_side_encryption_configuration": ("{bucket}",),
    "aws_s3_bucket_versioning": ("{bucket}",),
    "aws_s3_object": ("{bucket}/{key}",),
    "aws_scheduler_schedule": ("{group_name}/{name}", "default/{name}"),
    "aws_scheduler_schedule_group": ("{name}",),
    "aws_sns_topic": ("{arn}",),
    "aws_sns_topic_policy": ("{arn}",),
    "aws_sns_topic_subscription": ("{arn}",),
    "aws_sqs_queue": ("{url}",),
    "aws_sqs_queue_policy": ("{queue_url}",),
    "aws_vpc_endpoint_route_table_association": ("{vpc_endpoint_id}/{route_table_id}",),
    "aws_vpc_security_group_egress_rule": ("{security_group_rule_id}", "{id}"),
    "aws_vpc_security_group_ingress_rule": ("{security_group_rule_id}", "{id}"),
}

# their id, which AWS gives them and nobody can choose, is what import wants
_BY_ID: Final = frozenset(
    {
        "aws_default_security_group",
        "aws_ebs_volume",
        "aws_eip",
        "aws_flow_log",
        "aws_instance",
        "aws_internet_gateway",
        "aws_launch_template",
        "aws_nat_gateway",
        "aws_network_interface",
        "aws_route_table",
        "aws_security_group",
        "aws_subnet",
        "aws_vpc",
        "aws_vpc_endpoint",
    }
)

# what `import_id` knows the format of
IMPORTABLE: Final = frozenset(_IMPORT) | _BY_ID

_PLACE = re.compile(r"\{([a-zA-Z0-9_.]+)\}")


def identity(type: str, values: Mapping[str, Any]) -> str | None:  # noqa: A002 - Terraform's own word
    """What tells an object of `type` from all others of its type in one account and region.

    `values` are Terraform's, planned or applied, or an `Item`'s attributes (`tag:Name`). None when a
    part that is needed is not known yet.
    """
    return _first(_IDENTITY.get(type, _USUAL), values)


def import_id(type: str, attributes: Mapping[str, Any]) -> str | None:  # noqa: A002
    """What `terraform import` wants for an object of `type`; None where zave does not know."""
    if type in _BY_ID:
        return _first(("{id}",), attributes)
    return _first(_IMPORT.get(type, ()), attributes)


def _first(templates: _Templates, values: Mapping[str, Any]) -> str | None:
    filled = (_filled(template, values) for template in templates)
    return next((text for text in filled if text is not None), None)


def _filled(template: str, values: Mapping[str, Any]) -> str | None:
    parts = {name: _part(values, name) for name in _PLACE.findall(template)}
    if None in parts.values():
        return None
    return _PLACE.sub(lambda match: str(parts[match[1]]), template)


def _part(values: Mapping[str, Any], name: str) -> str | None:
    """The text of one attribute; None where it is unknown, null or empty."""
    outer, _, inner = name.partition(".")
    value = values.get(outer)
    if inner:
        held = value.get(inner) if isinstance(value, Mapping) else None
        value = held if held is not None else values.get(f"tag:{inner}")
    # a number is an answer too (a port); anything else (a list, an unknown) names nothing
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None
