"""What names an object before it exists, and how Terraform imports it: every type of the modules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from zave.aws.identity import IMPORTABLE, identity, import_id
from zave.rehearsal import schema

MODULES = Path(__file__).parents[3] / "terraform-modules"
NAMED = {"tags": {"Name": "zave-demo-x"}}
_RULE = {"security_group_id": "sg-1", "ip_protocol": "tcp", "from_port": 443, "to_port": 443, "id": "sgr-1"}

# type: values that are known before it exists, its identity, values that come with it, its import id
KNOWN: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "aws_budgets_budget": ({"name": "b"}, "b", {"account_id": "1"}, "1:b"),
    "aws_cloudwatch_event_rule": ({"name": "r"}, "default/r", {"event_bus_name": "default"}, "default/r"),
    "aws_cloudwatch_event_target": (
        {"rule": "r", "target_id": "t"},
        "default/r/t",
        {"event_bus_name": "default"},
        "default/r/t",
    ),
    "aws_cloudwatch_log_group": (
        {"name": "/aws/eks/c/cluster"},
        "/aws/eks/c/cluster",
        {},
        "/aws/eks/c/cluster",
    ),
    "aws_cloudwatch_metric_alarm": ({"alarm_name": "a"}, "a", {}, "a"),
    "aws_codebuild_project": ({"name": "p"}, "p", {"id": "arn:p"}, "p"),
    "aws_db_instance": ({"identifier": "d"}, "d", {"id": "db-1"}, "d"),
    "aws_db_parameter_group": ({"name": "g"}, "g", {}, "g"),
    "aws_db_subnet_group": ({"name": "g"}, "g", {}, "g"),
    "aws_default_security_group": (NAMED, "zave-demo-x", {"id": "sg-1"}, "sg-1"),
    "aws_dynamodb_table": ({"name": "t"}, "t", {}, "t"),
    "aws_ecr_lifecycle_policy": ({"repository": "r"}, "r", {}, "r"),
    "aws_ecr_repository": ({"name": "zave-demo/apps"}, "zave-demo/apps", {}, "zave-demo/apps"),
    "aws_ecr_repository_policy": ({"repository": "r"}, "r", {}, "r"),
    "aws_eip": (NAMED, "zave-demo-x", {"id": "eipalloc-1"}, "eipalloc-1"),
    "aws_eks_access_entry": (
        {"cluster_name": "c", "principal_arn": "arn:r"},
        "c/arn:r",
        {},
        "c:arn:r",
    ),
    "aws_eks_access_policy_association": (
        {"cluster_name": "c", "principal_arn": "arn:r", "policy_arn": "arn:p"},
        "c/arn:r/arn:p",
        {},
        "c#arn:r#arn:p",
    ),
    "aws_eks_addon": ({"cluster_name": "c", "addon_name": "coredns"}, "c/coredns", {}, "c:coredns"),
    "aws_eks_cluster": ({"name": "c"}, "c", {}, "c"),
    "aws_eks_node_group": ({"cluster_name": "c", "node_group_name": "n"}, "c/n", {}, "c:n"),
    "aws_eks_pod_identity_association": (
        {"cluster_name": "c", "namespace": "n", "service_account": "s"},
        "c/n/s",
        {"association_id": "a-1"},
        "c,a-1",
    ),
    "aws_flow_log": (NAMED, "zave-demo-x", {"id": "fl-1"}, "fl-1"),
    "aws_iam_instance_profile": ({"name": "p"}, "p", {"id": "p"}, "p"),
    "aws_iam_openid_connect_provider": ({"url": "https://o"}, "https://o", {"arn": "arn:o"}, "arn:o"),
    "aws_iam_policy": ({"name": "p"}, "p", {"arn": "arn:p"}, "arn:p"),
    "aws_iam_role": ({"name": "r", "tags": {"Name": "other"}}, "r", {}, "r"),
    "aws_iam_role_policy": ({"role": "r", "name": "p"}, "r/p", {"id": "r:p"}, "r:p"),
    "aws_iam_role_policy_attachment": ({"role": "r", "policy_arn": "arn:p"}, "r/arn:p", {}, "r/arn:p"),
    "aws_internet_gateway": (NAMED, "zave-demo-x", {"id": "igw-1"}, "igw-1"),
    "aws_kms_alias": ({"name": "alias/a"}, "alias/a", {}, "alias/a"),
    "aws_kms_key": (NAMED, "zave-demo-x", {"id": "k-1", "key_id": "k-1"}, "k-1"),
    "aws_kms_key_policy": ({"key_id": "k-1"}, "k-1", {}, "k-1"),
    "aws_launch_template": ({"name": "t"}, "t", {"id": "lt-1"}, "lt-1"),
    "aws_lb": ({"name": "b"}, "b", {"arn": "arn:b"}, "arn:b"),
    "aws_lb_listener": (
        {"load_balancer_arn": "arn:b", "port": 443},
        "arn:b/443",
        {"arn": "arn:l"},
        "arn:l",
    ),
    "aws_lb_target_group": ({"name": "t"}, "t", {"arn": "arn:t"}, "arn:t"),
    "aws_nat_gateway": (NAMED, "zave-demo-x", {"id": "nat-1"}, "nat-1"),
    "aws_route": (
        {"route_table_id": "rtb-1", "destination_cidr_block": "0.0.0.0/0"},
        "rtb-1/0.0.0.0/0",
        {"id": "r-rtb-1"},
        "rtb-1_0.0.0.0/0",
    ),
    "aws_route_table": (NAMED, "zave-demo-x", {"id": "rtb-1"}, "rtb-1"),
    "aws_route_table_association": (
        {"subnet_id": "subnet-1", "route_table_id": "rtb-1"},
        "subnet-1/rtb-1",
        {"id": "rtbassoc-1"},
        "subnet-1/rtb-1",
    ),
    "aws_s3_bucket": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_lifecycle_configuration": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_ownership_controls": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_policy": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_public_access_block": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_server_side_encryption_configuration": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_bucket_versioning": ({"bucket": "b"}, "b", {}, "b"),
    "aws_s3_object": ({"bucket": "b", "key": "k/1"}, "b/k/1", {}, "b/k/1"),
    "aws_scheduler_schedule": ({"group_name": "g", "name": "s"}, "g/s", {}, "g/s"),
    "aws_scheduler_schedule_group": ({"name": "g"}, "g", {}, "g"),
    "aws_security_group": ({"name": "g"}, "g", {"id": "sg-1"}, "sg-1"),
    "aws_sns_topic": ({"name": "t"}, "t", {"arn": "arn:t"}, "arn:t"),
    "aws_sns_topic_policy": ({"arn": "arn:t"}, "arn:t", {}, "arn:t"),
    "aws_sns_topic_subscription": (
        {"topic_arn": "arn:t", "protocol": "email", "endpoint": "me@example.org"},
        "arn:t/email/me@example.org",
        {"arn": "arn:t:1"},
        "arn:t:1",
    ),
    "aws_sqs_queue": ({"name": "q"}, "q", {"url": "https://q"}, "https://q"),
    "aws_sqs_queue_policy": ({"queue_url": "https://q"}, "https://q", {}, "https://q"),
    "aws_subnet": (NAMED, "zave-demo-x", {"id": "subnet-1"}, "subnet-1"),
    "aws_vpc": (NAMED, "zave-demo-x", {"id": "vpc-1"}, "vpc-1"),
    "aws_vpc_endpoint": (NAMED, "zave-demo-x", {"id": "vpce-1"}, "vpce-1"),
    "aws_vpc_security_group_egress_rule": (
        {**_RULE, "cidr_ipv4": "0.0.0.0/0"},
        "sg-1/tcp/443-443/0.0.0.0/0",
        {},
        "sgr-1",
    ),
    "aws_vpc_security_group_ingress_rule": (
        {**_RULE, "referenced_security_group_id": "sg-2"},
        "sg-1/tcp/443-443/sg-2",
        {},
        "sgr-1",
    ),
}


def _used() -> set[str]:
    found: set[str] = set()
    for path in MODULES.glob("aws-*/**/*.tf"):
        found |= set(re.findall(r'^resource "(aws_[a-z0-9_]+)"', path.read_text(), re.MULTILINE))
    return found


def test_every_type_of_the_modules_is_in_this_table() -> None:
    assert _used()
    assert _used() <= set(KNOWN)


@pytest.mark.parametrize("type_", sorted(KNOWN))
def test_object_is_named_the_same_before_and_after_it_is_made(type_: str) -> None:
    before, name, more, imported = KNOWN[type_]
    assert identity(type_, before) == name
    assert identity(type_, {**before, **more}) == name
    assert import_id(type_, {**before, **more}) == imported


@pytest.mark.parametrize("type_", sorted(KNOWN))
def test_identity_is_the_same_in_an_inventory(type_: str) -> None:
    before, name, _, _ = KNOWN[type_]
    text = {key: str(value) for key, value in before.items() if key != "tags"}
    text |= {f"tag:{key}": value for key, value in before.get("tags", {}).items()}
    assert identity(type_, text) == name


@pytest.mark.parametrize("type_", sorted(KNOWN))
def test_nothing_is_named_by_less_than_it_takes(type_: str) -> None:
    before, name, _, _ = KNOWN[type_]
    for missing in before:
        if missing in ("from_port", "to_port", "id") or (type_, missing) == ("aws_iam_role", "tags"):
            continue
        rest = {key: value for key, value in before.items() if key != missing}
        assert identity(type_, rest) != name


def test_defaults_of_the_provider_count_as_tags() -> None:
    assert identity("aws_vpc", {"tags": None, "tags_all": {"Name": "zave-demo-vpc"}}) == "zave-demo-vpc"


@pytest.mark.parametrize("value", [None, "", [], {}, object(), True])
def test_what_is_not_known_yet_names_nothing(value: object) -> None:
    assert identity("aws_eks_cluster", {"name": value}) is None
    assert import_id("aws_eks_cluster", {"name": value}) is None


def test_rules_without_ports_are_told_apart() -> None:
    values = {"security_group_id": "sg-1", "ip_protocol": "-1"}
    type_ = "aws_vpc_security_group_egress_rule"
    names = {
        identity(type_, {**values, **target})
        for target in ({"cidr_ipv4": "0.0.0.0/0"}, {"cidr_ipv6": "::/0"}, {"prefix_list_id": "pl-1"})
    }
    assert len(names) == 3
    assert None not in names


def test_unknown_type_has_no_import_id() -> None:
    assert import_id("aws_quantum_thing", {"id": "q-1", "name": "q"}) is None


def test_every_type_of_the_catalogue_can_be_imported() -> None:
    catalogue = schema.load("aws")
    behaviour = json.loads((schema.FOLDER / "aws.behaviour.json").read_text())["resources"]
    for type_ in catalogue.resources:
        if "import" in behaviour.get(type_, {}):
            assert type_ in IMPORTABLE, type_
