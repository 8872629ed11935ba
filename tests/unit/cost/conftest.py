"""The shipped catalogue, the shipped spec, and plan documents as `terraform show -json` writes them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from zave.cost.catalogue import Catalogue
from zave.spec.aws import AwsSpec
from zave.spec.load import load_spec

_SPEC = Path(__file__).resolve().parents[3] / "environments" / "aws-demo" / "environment.yaml"

Objects = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue.load("us-east-1")


@pytest.fixture
def spec() -> AwsSpec:
    found = load_spec(_SPEC)
    assert isinstance(found, AwsSpec)
    return found


@pytest.fixture
def demo() -> Callable[..., Objects]:
    """What of the default demo costs money: objects with the values that a plan knows of them."""

    def objects(*, version: str = "1.35", spot: bool = True, nat: bool = False, rds: bool = False) -> Objects:
        found: Objects = [
            ("aws_vpc", {"cidr_block": "10.42.0.0/16"}),
            ("aws_subnet", {"availability_zone": "us-east-1a"}),
            ("aws_subnet", {"availability_zone": "us-east-1b"}),
            (
                "aws_eks_cluster",
                {"version": version, "upgrade_policy": [{"support_type": "STANDARD"}]},
            ),
            (
                "aws_launch_template",
                {"block_device_mappings": [{"ebs": [{"volume_size": 20, "volume_type": "gp3"}]}]},
            ),
            (
                "aws_eks_node_group",
                {
                    "capacity_type": "SPOT" if spot else "ON_DEMAND",
                    "instance_types": ["t3.large", "t3a.large", "m6i.large"],
                    "scaling_config": [{"min_size": 2, "desired_size": 2, "max_size": 4}],
                },
            ),
        ]
        if nat:
            found += [("aws_nat_gateway", {"connectivity_type": "public"}), ("aws_eip", {"domain": "vpc"})]
        if rds:
            database = {
                "instance_class": "db.t4g.micro",
                "allocated_storage": 20,
                "storage_type": "gp3",
                "multi_az": False,
            }
            found.append(("aws_db_instance", database))
        return found

    return objects


@pytest.fixture
def planned() -> Callable[[Objects], dict[str, Any]]:
    """A plan document in which every object is in a module, as in zave's roots."""

    def document(objects: Objects) -> dict[str, Any]:
        resources = [
            {
                "address": f"module.demo.{type_}.this{index}",
                "mode": "managed",
                "type": type_,
                "name": f"this{index}",
                "values": dict(values),
            }
            for index, (type_, values) in enumerate(objects)
        ]
        data = {"mode": "data", "type": "aws_eks_addon_version", "values": {}}
        return {
            "format_version": "1.2",
            "planned_values": {
                "root_module": {
                    "resources": [data],
                    "child_modules": [{"address": "module.demo", "resources": resources}],
                }
            },
        }

    return document
