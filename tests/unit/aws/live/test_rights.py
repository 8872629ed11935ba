"""What the destroyer's role may do: all that zave asks of AWS on its way, and nothing less."""

import fnmatch
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.policy.table import listing, sweeping, switching
from zave.aws.live.api import Api
from zave.aws.live.deletions import DELETIONS

pytest.importorskip("boto3", reason="the aws extra is not installed")

MODULE = Path(__file__).parents[4] / "terraform-modules" / "aws-ttl"
LISTS = ("looking", "deleting", "deleting_cluster_parts", "deleting_identities", "lock_actions")


@pytest.fixture(scope="module")
def api() -> Api:
    """Clients that nobody calls."""
    return Api(region="us-east-1")


def allowed(*files: str) -> set[str]:
    """Every action that these files name; what is denied is named where it is allowed as well."""
    text = "".join((MODULE / name).read_text() for name in files)
    # a key of a condition has a value
    return set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z*]+)"(?! =)', text))


def missing(wanted: Iterable[str], rights: set[str]) -> list[str]:
    return sorted(each for each in wanted if not any(fnmatch.fnmatchcase(each, right) for right in rights))


def test_the_destroyer_may_list_all_that_the_sweep_lists() -> None:
    assert len(listing()) > 50
    assert missing(listing(), allowed("permissions.tf")) == []


def test_the_destroyer_may_do_what_the_switch_takes() -> None:
    assert missing(switching(), allowed("permissions.tf")) == []


def test_the_destroyer_may_delete_every_type_that_an_instance_may_own() -> None:
    assert missing(sweeping(), allowed("permissions.tf")) == []


def test_no_right_reaches_beyond_the_boundary() -> None:
    # the boundary names these lists as they are
    text = (MODULE / "permissions.tf").read_text()
    lists = "".join(text[text.index(f"  {name} = [") :].partition("]")[0] for name in LISTS)
    named = set(re.findall(r'"([a-z0-9-]+:[A-Z][A-Za-z*]+)"', lists))
    assert all(f"local.{name}" in (MODULE / "boundary.tf").read_text() for name in LISTS)
    rest = {each for each in allowed("permissions.tf") - named if not each.startswith("aws:")}
    assert rest
    assert missing(rest, allowed("boundary.tf")) == []


def test_every_type_that_is_deleted_is_listed_and_every_call_is_one_of_the_sdks(api: Api) -> None:
    from zave.aws.live.inventory import LiveInventory

    types = LiveInventory(api, parts=lambda: pytest.fail("nothing is asked")).types
    assert set(DELETIONS) <= types
    for calls in DELETIONS.values():
        for call in calls:
            service, _, operation = call.call.partition(":")
            client: Any = api.client(service)
            shape = client.meta.service_model.operation_model(
                client.meta.method_to_api_mapping[operation]
            ).input_shape
            assert set(call.parameters) <= set(shape.members), call
            assert set(shape.required_members) <= set(call.parameters), call
