"""The verbs of an AWS demo, for real: what they make, refuse and leave behind."""

import json
from datetime import UTC, datetime, timedelta

from tests.integration.aws_live.standing import PARTS
from tests.integration.aws_verbs.conftest import Account
from zave.aws.keys import receipt_prefix, state_key
from zave.aws.state import look_at_state
from zave.clock import rfc3339
from zave.ports.cloud import Schedule

# what costs, or begins to
BILLABLE = ("ec2:Run", "ec2:Create", "ec2:Allocate", "eks:POST /clusters", "rds:Create", "kms:Create")


def expiry(account: Account) -> str:
    """When the switch fires first, as the cloud has it."""
    schedule = account.cloud.switchboard.schedule("aws-demo")
    assert schedule is not None
    return rfc3339(schedule.first_fire_at)


def billable(calls: list[str]) -> list[str]:
    return [call for call in calls if call.startswith(BILLABLE)]


def test_an_account_is_set_up_looked_at_and_removed(account: Account) -> None:
    absent = account.zave("account", "status", "-o", "json").document
    assert absent["phase"] == "absent"
    ready = account.zave("account", "setup", "--yes", "-o", "json").document
    assert (ready["phase"], ready["missing"]) == ("ready", [])
    # again: there is nothing to do, and the state is found in the bucket
    before = account.things()
    again = account.zave("account", "setup", "--yes", "-o", "json")
    assert "the state is in the bucket" in again.err
    assert account.things() == before
    gone = account.zave("account", "remove", "--yes", "-o", "json").document
    assert (gone["phase"], gone["standing"]) == ("absent", [])
    assert account.things() == []


def test_what_somebody_altered_of_the_switch_is_told_and_nothing_is_armed_with_it(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    api, before = account.api, len(account.server.calls())
    seen = account.zave("account", "status", "-o", "json").document
    assert (seen["phase"], seen["missing"], seen["unread"], seen["undelivered"]) == ("ready", [], [], 0)
    # somebody keeps the destroyer from what it must delete
    destroyer = [*PARTS.roles][-1]
    mine = {"RoleName": destroyer, "PolicyName": "delete-by-tag"}
    text = json.dumps(api.call("iam", "get_role_policy", **mine)["PolicyDocument"])
    assert "ec2:DeleteVpc" in text
    api.call("iam", "put_role_policy", PolicyDocument=text.replace("ec2:DeleteVpc", "ec2:DeleteTags"), **mine)

    altered = f"rights of role {destroyer}: policy delete-by-tag"
    seen = account.zave("account", "status", "-o", "json").document
    assert (seen["phase"], seen["missing"]) == ("partial", [altered])
    refused = account.zave("up", "aws-demo", "--yes", status=None)
    assert refused.status != 0
    assert altered in refused.err
    assert billable(account.calls(since=before)) == []
    # written as it was, but otherwise: the same to IAM
    same = json.dumps(json.loads(text), indent=4, sort_keys=True)
    api.call("iam", "put_role_policy", PolicyDocument=same, **mine)
    assert account.zave("account", "status", "-o", "json").document["missing"] == []


def test_another_bucket_does_not_take_the_switch_over(account: Account) -> None:
    """The demos of the bucket that it works from would never be destroyed."""
    account.zave("account", "setup", "--yes")
    before, made = account.things(), len(account.server.calls())
    account.spec(bucket="mine-{account}")
    for words in (("account", "setup"), ("demo", "aws")):
        refused = account.zave(*words, "--yes", status=5)
        assert f"works from the bucket {PARTS.bucket}, the spec says mine-123456789012" in refused.err
        assert f"write {PARTS.bucket} into the spec's state.bucket" in refused.err
    assert account.things() == before
    assert [call for call in account.calls(since=made) if call.startswith("s3:PUT")] == []
    assert account.cloud.switchboard.works_from() == PARTS.bucket
    # the project alone is gone: what schedules need is still no other bucket's
    armed = Schedule("aws-demo", datetime.now(UTC) + timedelta(days=1), "bundle", "0" * 64)
    account.cloud.switchboard.set_schedule(armed)
    account.api.call("codebuild", "delete_project", name=PARTS.project)
    refused = account.zave("account", "setup", "--yes", status=5)
    assert "it ends: aws-demo" in refused.err
    assert account.things() == before


def test_one_regions_bucket_is_no_other_regions(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    before, made = account.things(), len(account.server.calls())
    account.spec(region="eu-west-1")
    refused = account.zave("account", "setup", "--yes", status=5)
    assert f"the bucket {PARTS.bucket} is in us-east-1" in refused.err
    assert "zave-state-{region}-{account}" in refused.err
    assert account.things() == before
    assert [call for call in account.calls(since=made) if call.startswith("s3:PUT")] == []


def test_a_demo_lives_is_extended_and_leaves_nothing(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    standing = account.things()
    before = len(account.server.calls())

    plan = account.zave("plan", "aws-demo", "-o", "json").document
    assert plan["terraform"]["create"] > 40
    assert plan["cost"]["ttl"]["expected"] > 1
    # a plan reads, and nothing else: not even a lock
    assert [call for call in account.calls(since=before) if call.startswith("s3:PUT")] == []

    up = account.zave("demo", "aws", "--ttl", "24h", "--yes", "-o", "json").events
    assert up[-1]["exit_code"] == 0
    assert len(account.things()) > len(standing) + 40
    assert look_at_state(account.cloud.bucket, "aws-demo").resources > 40
    status = account.zave("status", "aws-demo", "-o", "json").document["environments"][0]
    assert status["phase"] == "ready"
    assert [node["state"] for node in status["nodes"]] == ["Ready", "Ready"]
    assert status["switch"]["armed"]
    assert status["expires_at"] == expiry(account)

    kubeconfig = account.zave("kubeconfig", "aws-demo", "--content").out
    (user,) = json.loads(kubeconfig)["users"]
    assert "exec" in user["user"]
    assert "token" not in user["user"]

    account.api.call("sqs", "delete_queue", QueueUrl=_queue(account))
    told = account.zave("status", "aws-demo")
    assert "missing or altered: dead-letter queue" in told.err
    account.api.call("sqs", "create_queue", QueueName=PARTS.queue)

    extended = account.zave("extend", "aws-demo", "--ttl", "48h", "-o", "json").document
    assert extended["previous_expires_at"] == status["expires_at"] < extended["expires_at"] == expiry(account)
    swept = account.zave("sweep", "aws-demo", "-o", "json").document
    assert [item["type"] for item in swept["leaks"]] == []
    assert "aws_eks_cluster" in {item["type"] for item in swept["expected"]}

    down = account.zave("down", "aws-demo", "--yes", "-o", "json").events
    (receipt,) = [event["receipt"] for event in down if event["event"] == "receipt"]
    assert receipt["leaks"] == []
    assert "aws_eks_cluster" in {item["type"] for item in receipt["deleted"]}
    assert account.things() == standing
    assert account.cloud.switchboard.schedules() == []
    assert len(account.cloud.bucket.list(receipt_prefix("aws-demo"))) == 1


def test_the_destroyer_ends_a_demo_from_its_bundle_and_the_next_status_tells(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    standing = account.things()
    account.zave("demo", "aws", "--ttl", "24h", "--yes")
    _let_time_pass(account)
    account.cloud.switchboard.start("aws-demo", mode="destroy")
    while account.cloud.switchboard.runs("aws-demo")[0].state == "running":
        account.stop.wait(0.5)
    assert account.cloud.switchboard.runs("aws-demo")[0].reason == ""
    assert account.things() == standing
    assert account.cloud.switchboard.schedules() == []
    # Terraform and zave both worked as the destroyer, tagged for this instance alone
    taken = account.server.forms("sts:AssumeRole")
    assert len(taken) >= 2
    assert {form["RoleArn"] for form in taken} == {PARTS.destroyer_role_arn}
    assert {(form["Tags.member.1.Key"], form["Tags.member.1.Value"]) for form in taken} == {
        ("instance", "aws-demo")
    }
    status = account.zave("status", "aws-demo", "-o", "json").document["environments"][0]
    assert status["phase"] == "destroyed"
    assert status["last_receipt"]["leaks"] == 0


def _let_time_pass(account: Account) -> None:
    """Have the schedule begin a few minutes ago, which is as good as waiting for a day."""
    api = account.api
    found = api.call("scheduler", "get_schedule", GroupName=PARTS.group, Name="aws-demo")
    names = ("GroupName", "Name", "ScheduleExpression", "State", "FlexibleTimeWindow", "Target")
    past = datetime.now(UTC) - timedelta(minutes=4)
    api.call("scheduler", "update_schedule", StartDate=past, **{name: found[name] for name in names})


def test_where_arming_fails_nothing_billable_is_made(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    standing, before = account.things(), len(account.server.calls())
    account.server.refuse("codebuild:StartBuild", code="AccessDeniedException", status=403, times=9)
    refused = account.zave("demo", "aws", "--yes", "-o", "json", status=None)
    assert refused.status != 0
    failed = [event for event in refused.events if event.get("outcome") == "failed"]
    assert [event.get("step") for event in failed] == ["ttl-switch", None]
    assert account.things() == standing
    assert billable(account.calls(since=before)) == []
    assert account.cloud.bucket.get(state_key("aws-demo")) is None


def test_another_account_is_refused_before_anything_of_it_is_looked_at(account: Account) -> None:
    account.spec(account="999999999999")
    for words in (("account", "setup", "--yes"), ("demo", "aws", "--yes"), ("up", "aws-demo", "--yes")):
        before = len(account.server.calls())
        refused = account.zave(*words, status=5)
        assert "these credentials belong to account 123456789012" in refused.err
        assert {call.partition(":")[0] for call in account.calls(since=before)} == {"sts"}
    assert account.things() == []


def test_an_account_that_the_spec_leaves_open_is_asked_for_once_and_pinned(account: Account) -> None:
    account.spec(account=None)
    # nobody is there to be asked
    account.zave("account", "setup", status=2)
    account.zave("account", "setup", "--yes")
    lock = account.folder / "project" / "aws.lock"
    assert json.loads(lock.read_text())["accounts"] == {"aws-demo": "123456789012"}
    lock.write_text(lock.read_text().replace("123456789012", "999999999999"))
    refused = account.zave("account", "status", status=5)
    assert "the spec says 999999999999" in refused.err


def test_a_plan_works_in_an_account_that_is_not_set_up(account: Account) -> None:
    plan = account.zave("plan", "aws-demo", "-o", "json").document
    assert plan["terraform"]["create"] > 40
    assert [each["check"] for each in plan["preconditions"] if each["refused"]] == []
    assert {"region", "spot"} <= {each["check"] for each in plan["preconditions"]}
    assert account.things() == []
    # what is missing is offered by `demo`; `up` says so
    refused = account.zave("up", "aws-demo", "--yes", status=5)
    assert "is not set up" in refused.err


def test_what_somebody_else_holds_under_the_name_stops_a_demo(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    account.api.call("eks", "create_cluster", name="zave-aws-demo", roleArn=ROLE, resourcesVpcConfig={})
    standing = account.things()
    plan = account.zave("plan", "aws-demo", "-o", "json").document
    assert [each["check"] for each in plan["preconditions"] if each["refused"]] == ["names"]
    refused = account.zave("demo", "aws", "--yes", status=5)
    assert "exists already and is not this instance's" in refused.err
    assert account.things() == standing
    doctor = account.zave("doctor", "aws-demo", "-o", "json", status=5).document
    assert [each["level"] for each in doctor["findings"] if each["check"] == "names"] == ["missing"]


def test_without_the_role_for_spot_instances_nothing_is_made(account: Account) -> None:
    account.zave("account", "setup", "--yes")
    account.api.call("iam", "delete_role", RoleName="AWSServiceRoleForEC2Spot")
    standing = account.things()
    refused = account.zave("demo", "aws", "--yes", status=5)
    assert "aws iam create-service-linked-role" in refused.err
    assert account.things() == standing


def _queue(account: Account) -> str:
    url: str = account.api.call("sqs", "get_queue_url", QueueName=PARTS.queue)["QueueUrl"]
    return url


ROLE = "arn:aws:iam::123456789012:role/somebody"
