"""Databases, registries, queues, logs, keys, standing parts, and identities.

Where AWS tells tags only one thing at a time, a list is narrowed down to zave's own names first: an account
may have thousands of roles and log groups.
"""

from zave.aws.live.listing import Ask, Kind

_TAGS_OF_ARN = {"resourceArn": "arn"}


def _arn(service: str, rest: str) -> str:
    """An expression that makes an ARN in this region and account; `rest` ends with the element's field."""
    kind, _, name = rest.rpartition("|")
    parts = f"['arn', here.partition, '{service}', here.region, here.account, join('', ['{kind}', {name}])]"
    return f"join(':', {parts})"


_TARGET = Kind(
    "aws_cloudwatch_event_target",
    Ask("events:list_targets_by_rule", "Targets", taken={"Rule": "Name"}),
    id="join('-', [up.Name, Id])",
    tags="",
    shape={"rule": "up.Name", "target_id": "Id", "event_bus_name": "up.EventBusName", "arn": "Arn"},
)
_SUBSCRIPTION = Kind(
    "aws_sns_topic_subscription",
    Ask("sns:list_subscriptions_by_topic", "Subscriptions", taken={"TopicArn": "TopicArn"}),
    # one that is not confirmed has no ARN
    id="(SubscriptionArn != 'PendingConfirmation' && SubscriptionArn) || "
    "join('/', [TopicArn, Protocol, Endpoint])",
    tags="",
    shape={
        "arn": "SubscriptionArn",
        "topic_arn": "TopicArn",
        "protocol": "Protocol",
        "endpoint": "Endpoint",
    },
)

SERVICES = (
    Kind(
        "aws_db_instance",
        Ask("rds:describe_db_instances", "DBInstances"),
        id="DBInstanceIdentifier",
        tags="TagList",
        state="DBInstanceStatus",
        created="InstanceCreateTime",
        shape={
            "arn": "DBInstanceArn",
            "identifier": "DBInstanceIdentifier",
            "instance_class": "DBInstanceClass",
            "allocated_storage": "AllocatedStorage",
            "storage_type": "StorageType",
            "multi_az": "MultiAZ",
            "publicly_accessible": "PubliclyAccessible",
            "manage_master_user_password": "MasterUserSecret && 'true'",
            "vpc_id": "DBSubnetGroup.VpcId",
        },
        covers="rds:db",
    ),
    Kind(
        "aws_db_snapshot",
        Ask("rds:describe_db_snapshots", "DBSnapshots", given={"SnapshotType": "manual"}),
        id="DBSnapshotIdentifier",
        tags="TagList",
        state="Status",
        created="SnapshotCreateTime",
        shape={"arn": "DBSnapshotArn", "db_instance_identifier": "DBInstanceIdentifier"},
        covers="rds:snapshot",
    ),
    Kind(
        "aws_db_subnet_group",
        Ask("rds:describe_db_subnet_groups", "DBSubnetGroups"),
        id="DBSubnetGroupName",
        more={"t": Ask("rds:list_tags_for_resource", "TagList", taken={"ResourceName": "DBSubnetGroupArn"})},
        tags="t",
        shape={"arn": "DBSubnetGroupArn", "name": "DBSubnetGroupName", "vpc_id": "VpcId"},
        covers="rds:subgrp",
    ),
    Kind(
        "aws_ecr_repository",
        Ask("ecr:describe_repositories", "repositories"),
        id="repositoryName",
        more={"t": Ask("ecr:list_tags_for_resource", "tags", taken={"resourceArn": "repositoryArn"})},
        tags="t",
        created="createdAt",
        keep="starts_with(repositoryName, 'zave-')",
        shape={"arn": "repositoryArn", "name": "repositoryName"},
        under=(
            Kind(
                "aws_ecr_lifecycle_policy",
                Ask(
                    "ecr:get_lifecycle_policy",
                    "[repositoryName]",
                    taken={"repositoryName": "repositoryName"},
                ),
                id="it",
                tags="",
                shape={"repository": "it"},
            ),
        ),
        covers="ecr:repository",
    ),
    Kind(
        "aws_sqs_queue",
        Ask("sqs:list_queues", "QueueUrls", given={"QueueNamePrefix": "zave-"}),
        id="a && it",
        more={
            "a": Ask(
                "sqs:get_queue_attributes",
                "Attributes",
                given={"AttributeNames": ["All"]},
                taken={"QueueUrl": "it"},
            ),
            "t": Ask("sqs:list_queue_tags", "Tags || `{}`", taken={"QueueUrl": "it"}),
        },
        tags="t",
        created="a.CreatedTimestamp",
        shape={"url": "it", "arn": "a.QueueArn", "name": "tail(it, '/')"},
        under=(
            Kind(
                "aws_sqs_queue_policy",
                Ask("", "a.Policy && [it]"),
                id="it",
                tags="",
                shape={"queue_url": "it"},
            ),
        ),
        covers="sqs",
    ),
    Kind(
        "aws_cloudwatch_event_rule",
        Ask("events:list_rules", "Rules", given={"NamePrefix": "zave-"}),
        id="Name",
        more={"t": Ask("events:list_tags_for_resource", "Tags", taken={"ResourceARN": "Arn"})},
        tags="t",
        shape={"name": "Name", "arn": "Arn", "event_bus_name": "EventBusName"},
        under=(_TARGET,),
        covers="events:rule",
    ),
    Kind(
        "aws_cloudwatch_log_group",
        Ask("logs:describe_log_groups", "logGroups"),
        id="logGroupName",
        keep="contains(logGroupName, 'zave')",
        more={
            "t": Ask(
                "logs:list_tags_for_resource",
                "tags",
                taken={"resourceArn": _arn("logs", "log-group:|logGroupName")},
            )
        },
        tags="t",
        created="creationTime",
        shape={"name": "logGroupName", "arn": _arn("logs", "log-group:|logGroupName")},
        covers="logs:log-group",
    ),
    Kind(
        "aws_kms_alias",
        Ask("kms:list_aliases", "Aliases"),
        id="AliasName",
        keep="starts_with(AliasName, 'alias/zave-')",
        tags="",
        shape={"name": "AliasName", "arn": "AliasArn", "target_key_id": "TargetKeyId"},
    ),
    Kind(
        "aws_kms_key",
        Ask("kms:list_keys", "Keys"),
        id="k && KeyId",
        more={
            # a key may be closed to everybody but its owner
            "k": Ask(
                "kms:describe_key",
                "KeyMetadata.KeyManager == 'CUSTOMER' && KeyMetadata || `null`",
                taken={"KeyId": "KeyId"},
                unless=frozenset({"AccessDeniedException", "NotFoundException"}),
            ),
            "t": Ask(
                "kms:list_resource_tags",
                "Tags",
                taken={"KeyId": "k.KeyId"},
                unless=frozenset({"AccessDeniedException", "NotFoundException"}),
            ),
        },
        tags="t",
        created="k.CreationDate",
        until="k.KeyState == 'PendingDeletion' && k.DeletionDate || `null`",
        shape={"arn": "KeyArn", "key_id": "KeyId", "description": "k.Description"},
        covers="kms:key",
    ),
    Kind(
        "aws_secretsmanager_secret",
        Ask("secretsmanager:list_secrets", "SecretList"),
        id="ARN",
        # RDS makes and deletes its own
        keep="!OwningService",
        created="CreatedDate",
        shape={"arn": "ARN", "name": "Name"},
        covers="secretsmanager:secret",
    ),
    Kind(
        "aws_dynamodb_table",
        Ask("dynamodb:list_tables", "TableNames"),
        id="d.TableName",
        keep="starts_with(it, 'zave-')",
        more={
            "d": Ask("dynamodb:describe_table", "Table", taken={"TableName": "it"}),
            "t": Ask("dynamodb:list_tags_of_resource", "Tags", taken={"ResourceArn": "d.TableArn"}),
        },
        tags="t",
        created="d.CreationDateTime",
        state="d.TableStatus",
        shape={"arn": "d.TableArn", "name": "d.TableName"},
        covers="dynamodb:table",
    ),
    Kind(
        "aws_s3_bucket",
        Ask("s3:list_buckets", "Buckets"),
        id="Name",
        keep="starts_with(Name, 'zave-')",
        more={"t": Ask("s3:get_bucket_tagging", "TagSet", taken={"Bucket": "Name"})},
        tags="t",
        created="CreationDate",
        shape={"bucket": "Name", "arn": "join('', ['arn:', here.partition, ':s3:::', Name])"},
        covers="s3",
    ),
    Kind(
        "aws_codebuild_project",
        Ask("codebuild:list_projects", "projects"),
        id="d.name",
        keep="starts_with(it, 'zave-')",
        more={"d": Ask("codebuild:batch_get_projects", "projects[0]", taken={"names": "[it]"})},
        tags="d.tags",
        created="d.created",
        shape={"arn": "d.arn", "name": "d.name", "service_role": "d.serviceRole"},
        covers="codebuild:project",
    ),
    Kind(
        "aws_scheduler_schedule_group",
        Ask("scheduler:list_schedule_groups", "ScheduleGroups"),
        id="Name",
        keep="starts_with(Name, 'zave-')",
        more={"t": Ask("scheduler:list_tags_for_resource", "Tags", taken={"ResourceArn": "Arn"})},
        tags="t",
        state="State",
        created="CreationDate",
        shape={"arn": "Arn", "name": "Name"},
        covers="scheduler:schedule-group",
    ),
    Kind(
        "aws_cloudwatch_metric_alarm",
        Ask("cloudwatch:describe_alarms", "MetricAlarms", given={"AlarmNamePrefix": "zave-"}),
        id="AlarmName",
        more={"t": Ask("cloudwatch:list_tags_for_resource", "Tags", taken={"ResourceARN": "AlarmArn"})},
        tags="t",
        shape={"arn": "AlarmArn", "alarm_name": "AlarmName"},
        covers="cloudwatch:alarm",
    ),
    Kind(
        "aws_sns_topic",
        Ask("sns:list_topics", "Topics"),
        id="TopicArn",
        keep="contains(TopicArn, ':zave-')",
        more={"t": Ask("sns:list_tags_for_resource", "Tags", taken={"ResourceArn": "TopicArn"})},
        tags="t",
        shape={"arn": "TopicArn", "name": "tail(TopicArn, ':')"},
        under=(_SUBSCRIPTION,),
        covers="sns",
    ),
    Kind(
        "aws_budgets_budget",
        Ask("budgets:describe_budgets", "Budgets", taken={"AccountId": "here.account"}),
        id="BudgetName",
        # only the standing parts have one; it is known by its name
        keep="starts_with(BudgetName, join('-', ['zave-budget', here.region, here.account]))",
        tags='`{"zave:standing": "true"}`',
        shape={"name": "BudgetName", "account_id": "here.account"},
        covers="budgets:budget",
    ),
)


def _of_this_region(path: str, name: str) -> str:
    """IAM's names hold for all regions: the standing parts of another region's switch are not ours."""
    return f"{path} != '/zave/standing/' || contains({name}, join('', ['-', here.region, '-']))"


_OF_ROLE = {"RoleName": "RoleName"}
_OF_PROFILE = {"InstanceProfileName": "InstanceProfileName"}

IDENTITIES = (
    Kind(
        "aws_iam_instance_profile",
        Ask("iam:list_instance_profiles", "InstanceProfiles"),
        id="InstanceProfileName",
        # zave's own, and those that Karpenter makes of a cluster's name
        keep="starts_with(Path, '/zave/') || starts_with(Path, '/karpenter/') || "
        "starts_with(InstanceProfileName, 'zave-')",
        more={"t": Ask("iam:get_instance_profile", "InstanceProfile.Tags", taken=_OF_PROFILE)},
        tags="t",
        created="CreateDate",
        shape={
            "arn": "Arn",
            "name": "InstanceProfileName",
            "path": "Path",
            "role": "Roles[0].RoleName",
        },
        covers="iam:instance-profile",
    ),
    Kind(
        "aws_iam_role",
        Ask("iam:list_roles", "Roles", given={"PathPrefix": "/zave/"}),
        id="RoleName",
        keep=_of_this_region("Path", "RoleName"),
        more={"t": Ask("iam:get_role", "Role.Tags", taken=_OF_ROLE)},
        tags="t",
        created="CreateDate",
        shape={"arn": "Arn", "name": "RoleName", "path": "Path"},
        under=(
            Kind(
                "aws_iam_role_policy",
                Ask("iam:list_role_policies", "PolicyNames", taken=_OF_ROLE),
                id="join(':', [up.RoleName, it])",
                tags="",
                shape={"role": "up.RoleName", "name": "it"},
            ),
            Kind(
                "aws_iam_role_policy_attachment",
                Ask("iam:list_attached_role_policies", "AttachedPolicies", taken=_OF_ROLE),
                id="join('/', [up.RoleName, PolicyArn])",
                tags="",
                shape={"role": "up.RoleName", "policy_arn": "PolicyArn"},
            ),
        ),
        covers="iam:role",
    ),
    Kind(
        "aws_iam_policy",
        Ask("iam:list_policies", "Policies", given={"Scope": "Local", "PathPrefix": "/zave/"}),
        id="Arn",
        keep=_of_this_region("Path", "PolicyName"),
        more={"t": Ask("iam:get_policy", "Policy.Tags", taken={"PolicyArn": "Arn"})},
        tags="t",
        created="CreateDate",
        shape={"arn": "Arn", "name": "PolicyName", "path": "Path"},
        covers="iam:policy",
    ),
    Kind(
        "aws_iam_openid_connect_provider",
        Ask("iam:list_open_id_connect_providers", "OpenIDConnectProviderList"),
        id="d && Arn",
        keep="contains(Arn, 'oidc.eks.')",
        more={
            "d": Ask("iam:get_open_id_connect_provider", taken={"OpenIDConnectProviderArn": "Arn"}),
        },
        tags="d.Tags",
        created="d.CreateDate",
        shape={"arn": "Arn", "url": "d.Url", "issuer": "d.Url"},
        covers="iam:oidc-provider",
    ),
)
