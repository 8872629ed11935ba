"""`zave prices update` and `zave cost --actual`, as a person runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.integration.aws_live.price_list import PriceList, price_list
from tests.integration.aws_verbs.conftest import RUN, Account
from tests.unit.cli.conftest import Result
from zave.aws.live.api import Api
from zave.aws.live.billing import billed
from zave.clock import SystemClock
from zave.cost.catalogue import Catalogue
from zave.schemas import load_schema
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord
from zave.state.store import StateStore

# Cost Explorer's answer (API reference, GetCostAndUsage)
BILL = {
    "GroupDefinitions": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    "ResultsByTime": [
        {
            "TimePeriod": {"Start": "2026-11-23", "End": "2026-11-24"},
            "Total": {},
            "Groups": [
                {
                    "Keys": ["Amazon Elastic Container Service for Kubernetes"],
                    "Metrics": {"UnblendedCost": {"Amount": "2.4", "Unit": "USD"}},
                },
                {
                    "Keys": ["Amazon Elastic Compute Cloud - Compute"],
                    "Metrics": {"UnblendedCost": {"Amount": "1.125", "Unit": "USD"}},
                },
            ],
            "Estimated": True,
        }
    ],
}


def zave(*words: str, state: Path, more: Mapping[str, str]) -> Result:
    environment = {**os.environ, "ZAVE_STATE_DIR": str(state), "ZAVE_NO_INPUT": "true", **more}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], env=environment, capture_output=True, text=True, check=False
    )
    return Result(done.returncode, done.stdout, done.stderr)


def test_refreshed_prices_are_told_kept_and_reckoned_with(tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    state = tmp_path / "state"
    with price_list() as told:
        told.add("AmazonEKS", "AmazonEKS-Hours:perCluster", ("0", "0.25"), regionCode="us-east-1")
        ran = zave("prices", "update", "-o", "json", state=state, more=_signed_in(told))
    assert ran.status == 0, ran.err
    document = ran.document
    Draft202012Validator(load_schema("prices")).validate(document)
    changed = {each["item"]: (each["before"], each["after"]) for each in document["changed"]}
    assert changed == {"eks.cluster": (0.1, 0.25)}
    assert "ebs.gp3" in {each["item"] for each in document["not_found"]}

    rate = Catalogue.load("us-east-1", refreshed=state / "prices.json").rate("eks.cluster")
    assert rate is not None
    assert rate.usd.expected == 0.25
    plan = zave("plan", "aws-demo", "--rehearse", "-o", "json", state=state, more={}).document
    (line,) = [line for line in plan["cost"]["lines"] if line["item"].startswith("EKS cluster")]
    assert line["rate"] == 0.25


def _signed_in(told: PriceList) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ENDPOINT_URL": told.url,
    }


def test_prices_are_not_asked_of_a_rehearsed_account(tmp_path: Path) -> None:
    refused = zave("prices", "update", "--rehearse", state=tmp_path, more={})
    assert (refused.status, "leave --rehearse out" in refused.err) == (2, True)


def test_what_aws_billed_is_asked_for_once_and_its_own_price_is_told(account: Account) -> None:
    account.server.answer("ce:GetCostAndUsage", BILL)
    _recorded(account)
    document = account.zave("cost", "aws-demo", "--actual", "--yes", "-o", "json").document
    Draft202012Validator(load_schema("cost")).validate(document)
    assert document["actual"]["usd"] == 3.525
    assert document["actual"]["services"][0]["usd"] == 2.4
    assert (document["actual"]["requests"], document["actual"]["usd_of_requests"]) == (1, 0.01)
    assert account.server.calls().count("ce:GetCostAndUsage") == 1
    # a question that nobody answers: nothing is asked, nothing is paid
    account.zave("cost", "aws-demo", "--actual", status=2)
    assert account.server.calls().count("ce:GetCostAndUsage") == 1
    shown = account.zave("cost", "aws-demo", "--actual", "--yes").out
    assert "billed by AWS  $3.5" in shown


def _recorded(account: Account) -> None:
    """A demo that was destroyed: what it costs needs no inventory."""
    directory = StateDirectory.locate(account.environment, rehearsal=False)
    directory.prepare()
    store = StateStore.open(directory, clock=SystemClock())
    spec = {"platform": "aws-eks", "aws": {"region": "us-east-1"}}
    born = datetime(2026, 11, 23, tzinfo=UTC)
    store.save_instance(InstanceRecord("aws-demo", "aws-demo", "aws-eks", "destroyed", born, None, spec, {}))
    store.close()


def test_pages_of_a_bill_are_added_up_and_each_is_a_request(account: Account) -> None:
    account.server.answer("ce:GetCostAndUsage", {**BILL, "NextPageToken": "more"})
    api: Api = account.api
    found = billed(api, instance="demo", since=datetime(2026, 11, 23, tzinfo=UTC), until=datetime.now(UTC))
    # an endless bill is not read, nor paid, to its end
    assert found.requests == 5
    assert json.dumps(found.document()["usd"]) == str(5 * 3.525)
