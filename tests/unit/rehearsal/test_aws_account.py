from pathlib import Path
from typing import Any

import pytest

from zave.rehearsal import account, schema
from zave.rehearsal.account import Account, ConfigurationError
from zave.rehearsal.values import UNKNOWN
from zave.rehearsal.world import World

AWS = schema.load("aws")


@pytest.fixture(autouse=True)
def no_region_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


def configured(world: World, **config: Any) -> Account:
    return account.account({"region": "us-east-1", **config}, world)


def test_the_account_is_the_worlds(world: World) -> None:
    assert configured(world).facts["account"] == account.DEFAULT_ACCOUNT
    world.put_document(*account.DOCUMENT, {"id": "210987654321"})
    assert configured(world).facts["account"] == "210987654321"


@pytest.mark.parametrize(
    ("region", "partition", "suffix"),
    [
        ("us-east-1", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
    ],
)
def test_a_region_has_its_partition(world: World, region: str, partition: str, suffix: str) -> None:
    facts = configured(world, region=region).facts
    assert (facts["partition"], facts["dns_suffix"]) == (partition, suffix)


def test_the_region_may_come_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert configured(world, region=None).facts["region"] == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert configured(world, region=None).facts["region"] == "eu-west-2"


def test_without_a_region_there_is_no_account(world: World) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(world, region=None)
    assert "region" in caught.value.detail


def test_credentials_of_another_account_are_refused(world: World) -> None:
    assert configured(world, allowed_account_ids=[account.DEFAULT_ACCOUNT])
    with pytest.raises(ConfigurationError) as caught:
        configured(world, allowed_account_ids=["999999999999"])
    assert "AWS account ID not allowed: 123456789012" in caught.value.detail


def test_all_tags_are_the_default_ones_and_the_resources_own(world: World) -> None:
    shared = configured(world, default_tags=[{"tags": {"a": "default", "b": "default"}}])
    vpc = AWS.resources["aws_vpc"]
    assert shared.complete(vpc, {"tags": {"b": "own", "c": None}})["tags_all"] == {"a": "default", "b": "own"}
    assert shared.complete(vpc, {"tags": None})["tags_all"] == {"a": "default", "b": "default"}


@pytest.mark.parametrize("tags", [UNKNOWN, {"a": UNKNOWN}])
def test_all_tags_are_unknown_while_one_is(world: World, tags: Any) -> None:
    vpc = AWS.resources["aws_vpc"]
    assert configured(world).complete(vpc, {"tags": tags})["tags_all"] is UNKNOWN
    shared = configured(world, default_tags=[{"tags": tags}])
    assert shared.complete(vpc, {"tags": {}})["tags_all"] is UNKNOWN


def test_a_resource_is_in_the_providers_region_unless_it_says_otherwise(world: World) -> None:
    shared = configured(world)
    vpc, role = AWS.resources["aws_vpc"], AWS.resources["aws_iam_role"]
    assert shared.complete(vpc, {"region": None})["region"] == "us-east-1"
    assert shared.complete(vpc, {"region": "eu-west-1"})["region"] == "eu-west-1"
    assert "region" not in shared.complete(role, {"name": "r"})


@pytest.mark.parametrize(
    ("zone", "id_"),
    [
        ("us-east-1a", "use1-az1"),
        ("eu-central-1c", "euc1-az3"),
        ("ap-southeast-2b", "apse2-az2"),
        ("ap-northeast-1d", "apne1-az4"),
        ("us-gov-west-1a", "usgw1-az1"),
        ("ca-central-1d", "cac1-az4"),
    ],
)
def test_zones_have_ids(zone: str, id_: str) -> None:
    assert account.zone_id(zone) == id_


def test_the_first_addresses_of_a_range_are_not_given_out() -> None:
    assert account.host("10.42.128.0/18") == "10.42.128.10"
    assert account.host("10.42.1.250/24") == "10.42.2.4"


def test_no_absolute_path_of_a_machine_is_in_the_data() -> None:
    for path in Path(schema.FOLDER).glob("aws*.json"):
        assert "/root" not in path.read_text()
        assert "/work" not in path.read_text()
