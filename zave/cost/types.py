"""Which AWS resource types cost money, and why the others do not.

A type that stands in no table here is not known to zave: estimates name it as unpriced.
"""

from collections.abc import Mapping

# billed for every hour that they exist; `zave.cost.parts` prices them
BY_TIME: frozenset[str] = frozenset(
    {
        "aws_cloudwatch_metric_alarm",
        "aws_db_instance",
        "aws_ebs_volume",
        "aws_eip",
        "aws_eks_cluster",
        "aws_instance",
        "aws_kms_key",
        "aws_lb",
        "aws_nat_gateway",
        "aws_route53_zone",
        "aws_secretsmanager_secret",
        "aws_vpc_endpoint",
    }
)

# billed by what is kept in them, which neither a plan nor an inventory tells
STORED: Mapping[str, str] = {
    "aws_cloudwatch_log_group": "GB taken in and kept",
    "aws_db_snapshot": "GB kept",
    "aws_dynamodb_table": "requests and GB kept",
    "aws_ebs_snapshot": "GB kept",
    "aws_ecr_repository": "GB of images",
    "aws_s3_bucket": "GB kept",
}

# billed by use: while nobody uses them they cost nothing
PER_USE: Mapping[str, str] = {
    "aws_codebuild_project": "minutes of builds",
    "aws_flow_log": "GB of records, as CloudWatch logs",
    "aws_sns_topic": "messages",
    "aws_sqs_queue": "requests",
}

# makes instances by itself: its own price is nothing, but it must not exist before the switch is proven
STARTERS: Mapping[str, str] = {
    "aws_autoscaling_group": "its instances are billed",
    "aws_eks_node_group": "its instances are billed",
}

FREE: Mapping[str, str] = {
    "aws_budgets_budget": "budgets without actions are free",
    "aws_cloudwatch_event_bus": "events of AWS services are free",
    "aws_cloudwatch_event_rule": "events of AWS services are free",
    "aws_cloudwatch_event_target": "part of its rule",
    "aws_db_parameter_group": "configuration",
    "aws_db_subnet_group": "configuration",
    "aws_default_network_acl": "configuration",
    "aws_default_route_table": "configuration",
    "aws_default_security_group": "configuration",
    "aws_ec2_tag": "a tag",
    "aws_ecr_lifecycle_policy": "configuration",
    "aws_ecr_repository_policy": "configuration",
    "aws_eks_access_entry": "part of its cluster",
    "aws_eks_access_policy_association": "part of its cluster",
    "aws_eks_addon": "the add-ons of AWS are free; they run on the nodes",
    "aws_eks_identity_provider_config": "part of its cluster",
    "aws_eks_pod_identity_association": "part of its cluster",
    "aws_iam_instance_profile": "IAM is free",
    "aws_iam_openid_connect_provider": "IAM is free",
    "aws_iam_policy": "IAM is free",
    "aws_iam_role": "IAM is free",
    "aws_iam_role_policies_exclusive": "IAM is free",
    "aws_iam_role_policy": "IAM is free",
    "aws_iam_role_policy_attachment": "IAM is free",
    "aws_iam_role_policy_attachments_exclusive": "IAM is free",
    "aws_iam_service_linked_role": "IAM is free",
    "aws_internet_gateway": "the gateway is free; traffic through it is not",
    "aws_kms_alias": "part of its key",
    "aws_kms_key_policy": "part of its key",
    "aws_launch_template": "configuration; its instances are billed",
    "aws_lb_listener": "part of its load balancer",
    "aws_lb_target_group": "part of its load balancer",
    "aws_main_route_table_association": "VPC routing is free",
    "aws_network_acl": "VPC filtering is free",
    "aws_network_interface": "an interface is free; a public address on it is billed as such",
    "aws_route": "VPC routing is free",
    "aws_route_table": "VPC routing is free",
    "aws_route_table_association": "VPC routing is free",
    "aws_s3_bucket_lifecycle_configuration": "part of its bucket",
    "aws_s3_bucket_logging": "part of its bucket",
    "aws_s3_bucket_ownership_controls": "part of its bucket",
    "aws_s3_bucket_policy": "part of its bucket",
    "aws_s3_bucket_public_access_block": "part of its bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "part of its bucket",
    "aws_s3_bucket_versioning": "part of its bucket",
    "aws_s3_object": "counted with its bucket",
    "aws_scheduler_schedule": "14 million invocations a month are free (prices of 2026-11-23)",
    "aws_scheduler_schedule_group": "a name for schedules",
    "aws_secretsmanager_secret_version": "part of its secret",
    "aws_security_group": "VPC filtering is free",
    "aws_security_group_rule": "VPC filtering is free",
    "aws_sns_topic_policy": "part of its topic",
    "aws_sns_topic_subscription": "part of its topic",
    "aws_sqs_queue_policy": "part of its queue",
    "aws_ssm_parameter": "standard parameters are free",
    "aws_subnet": "VPC networking is free",
    "aws_vpc": "VPC networking is free",
    "aws_vpc_endpoint_route_table_association": "VPC routing is free",
    "aws_vpc_security_group_egress_rule": "VPC filtering is free",
    "aws_vpc_security_group_ingress_rule": "VPC filtering is free",
}

# nothing of these types may exist before the switch is proven
BILLABLE: frozenset[str] = BY_TIME | STORED.keys() | PER_USE.keys() | STARTERS.keys()


def known(resource_type: str) -> bool:
    """Whether zave knows what the type costs; data sources and other providers' types are not asked."""
    return resource_type in BILLABLE or resource_type in FREE
