"""What zave prints about the AWS demo is valid against the schemas that it ships."""

from typing import Any

from jsonschema import Draft202012Validator

from tests.rehearsal.aws_lab import INSTANCE, AwsLab
from tests.rehearsal.lab import Ended, Lab
from zave.schemas import load_schema


def _valid(ended: Ended, kind: str) -> dict[str, Any]:
    """The one document of a reading command, valid by its own kind, which must be `kind`."""
    (document,) = ended.documents
    assert document["schema"] == f"zave/{kind}/v1"
    Draft202012Validator(load_schema(kind)).validate(document)
    return document


def test_reading_commands_print_valid_documents_of_a_demo(demo_lab: AwsLab) -> None:
    account = _valid(demo_lab.ok("account", "status"), "account")
    assert {part["type"] for part in account["standing"]} >= {"aws_s3_bucket", "aws_codebuild_project"}

    cost = _valid(demo_lab.ok("cost", INSTANCE), "cost")
    assert cost["spent"]["low"] <= cost["spent"]["expected"] <= cost["spent"]["high"]
    assert 0.2 < cost["usd_per_hour"]["expected"] < 0.35

    status = _valid(demo_lab.ok("status", INSTANCE), "status")
    assert status["environments"][0]["usd_per_hour"] == cost["usd_per_hour"]["expected"]
    assert _valid(demo_lab.ok("plan", INSTANCE), "plan")["cost"]["lines"]
    assert len(_valid(demo_lab.ok("sweep", INSTANCE), "inventory")["expected"]) >= 60
    assert _valid(demo_lab.ok("drift", INSTANCE), "drift")["in_sync"] is True

    (image,) = _valid(demo_lab.ok("push", INSTANCE, "nginx:1.29"), "push")["images"]
    assert (image["action"], image["target"].rpartition("/")[2]) == ("copied", "apps:nginx-1.29")
    (again,) = _valid(demo_lab.ok("push", INSTANCE, "nginx:1.29"), "push")["images"]
    assert again == {**image, "action": "present"}

    switch = _valid(demo_lab.ok("extend", INSTANCE, "--ttl", "50h"), "switch")
    assert switch["armed"]
    assert switch["previous_expires_at"] == status["environments"][0]["expires_at"]


def test_a_life_in_aws_leaves_valid_events_receipt_and_savings(demo_lab: AwsLab) -> None:
    ended = demo_lab.end()
    assert ended.exit_code == 0, ended.told()
    validator = Draft202012Validator(load_schema("event"))
    for event in ended.documents:
        validator.validate(event)
    Draft202012Validator(load_schema("receipt")).validate(ended.receipt)
    _valid(demo_lab.ok("savings"), "savings")
    cost = _valid(demo_lab.ok("cost", INSTANCE), "cost")
    assert cost["usd_per_hour"]["expected"] == 0
    assert cost["spent"]["expected"] > 0
    _valid(demo_lab.ok("history", INSTANCE), "history")


def test_an_account_that_is_not_set_up_is_told_in_a_valid_document(lab: Lab) -> None:
    account = _valid(lab.zave("account", "status", "--rehearse", "-o", "json"), "account")
    assert (account["phase"], account["bucket"], account["standing"]) == ("absent", None, [])
    assert "state bucket" in account["missing"]
