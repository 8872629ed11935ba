"""Terraform's table of locks in DynamoDB, as the real adapter reads it and lets go of what is in it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.integration.aws_live.standing import PARTS, set_up
from tests.system.moto_server import MotoServer
from tests.unit.aws.memory import FakeClock
from tests.unit.platforms.test_aws_values import PLAIN, spec_of
from zave.aws.keys import state_key
from zave.aws.live.api import Api, RefusedError
from zave.aws.live.cloud import LiveCloud
from zave.aws.live.lock_table import DynamoLockTable
from zave.aws.state_lock import state_locks
from zave.cli.real_aws import Accounts
from zave.state.directory import InstanceFolder

STATE = state_key("demo")


@pytest.fixture
def table(api: Api, clock: FakeClock) -> DynamoLockTable:
    """The adapter over a table that is not there yet."""
    found = LiveCloud(api, clock=clock, lock="dynamodb").lock_table
    assert found is not None
    return found


def make_lock_table(api: Api) -> None:
    """What `terraform-modules/aws-state` makes."""
    api.call(
        "dynamodb",
        "create_table",
        TableName=PARTS.lock_table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
    )


def _put(api: Api, name: str, **attributes: str) -> None:
    item = {"LockID": {"S": f"{PARTS.bucket}/{name}"}}
    item |= {key: {"S": value} for key, value in attributes.items()}
    api.call("dynamodb", "put_item", TableName=PARTS.lock_table, Item=item)


def _names(api: Api) -> set[Any]:
    return {each["LockID"]["S"] for each in api.call("dynamodb", "scan", TableName=PARTS.lock_table)["Items"]}


def test_only_a_spec_that_asks_for_a_table_has_one(api: Api, clock: FakeClock) -> None:
    assert LiveCloud(api, clock=clock).lock_table is None


@pytest.mark.parametrize("wanted", ["s3", "dynamodb"])
def test_what_the_spec_says_is_what_the_verbs_and_the_destroyer_look_at(
    wanted: str, api: Api, server: MotoServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("ZAVE_DESTROYER_ROLE", PARTS.destroyer_role_arn)
    set_up(api)
    make_lock_table(api)
    _put(api, STATE, Info="held")
    spec = spec_of(state={"lock": wanted}, gitops=PLAIN["gitops"] | {"profile": "none"})
    accounts = Accounts(
        cast(Any, None),
        FakeClock(),
        terraform=lambda folder, environment: cast(Any, SimpleNamespace(engine=None)),
        images=lambda: cast(Any, None),
        lock=tmp_path / "aws.lock",
        programs=tmp_path,
        handover=cast(Any, None),
    )
    folder = InstanceFolder(tmp_path / "demo")
    (tmp_path / "work").mkdir(mode=0o700)
    destroyers = accounts.destroyer(spec, folder, instance="demo", work=tmp_path / "work").cloud
    assert destroyers is not None
    for cloud in (accounts.cloud(spec), destroyers):
        assert [lock.content for lock in state_locks(cloud, "demo")] == [b"held"] * (wanted == "dynamodb")


def test_a_table_that_is_not_there_holds_nothing(table: DynamoLockTable) -> None:
    assert table.lock(STATE) is None
    assert not table.release(STATE, b"any")
    table.forget(STATE)


@pytest.mark.parametrize("held", [{"Info": '{"ID": "a", "Who": "m\u00e9"}'}, {}])
def test_a_lock_is_released_only_while_it_is_the_one_that_was_seen(
    held: dict[str, str], api: Api, table: DynamoLockTable
) -> None:
    make_lock_table(api)
    assert table.lock(STATE) is None
    _put(api, STATE, **held)
    _put(api, state_key("demo-b"), **held)
    seen = table.lock(STATE)
    assert seen == held.get("Info", "").encode()
    assert seen is not None

    _put(api, STATE, Info='{"ID": "b"}')
    assert not table.release(STATE, seen)
    assert table.lock(STATE) == b'{"ID": "b"}'
    assert not table.release(STATE, b"")

    _put(api, STATE, **held)
    assert table.release(STATE, seen)
    assert table.lock(STATE) is None
    assert _names(api) == {f"{PARTS.bucket}/{state_key('demo-b')}"}
    # somebody else has released it meanwhile
    assert not table.release(STATE, seen or b"any")


def test_the_digest_of_one_state_is_forgotten(api: Api, table: DynamoLockTable) -> None:
    make_lock_table(api)
    for name in (STATE, f"{STATE}-md5", f"{state_key('demo-b')}-md5"):
        _put(api, name, Digest="0a")
    table.forget(STATE)
    table.forget(STATE)
    assert _names(api) == {f"{PARTS.bucket}/{name}" for name in (STATE, f"{state_key('demo-b')}-md5")}


def test_a_refusal_is_no_absence(api: Api, table: DynamoLockTable, server: MotoServer) -> None:
    make_lock_table(api)
    for call, does in (
        ("GetItem", lambda: table.lock(STATE)),
        ("DeleteItem", lambda: table.release(STATE, b"any")),
        ("DeleteItem", lambda: table.forget(STATE)),
    ):
        server.refuse(f"dynamodb:{call}", code="AccessDeniedException")
        with pytest.raises(RefusedError, match="dynamodb"):
            does()
