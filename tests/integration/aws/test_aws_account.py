"""The standing parts of an account: how they come and go, and what the destroyer may do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.aws.conftest import Demo

Objects = dict[str, dict[str, Any]]


def test_the_account_starts_with_a_local_state_and_moves_it_into_the_bucket(demo: Demo) -> None:
    demo.write_account(bucket_exists=False)
    demo.terraform("account", "init", "-input=false")
    demo.apply("account")
    assert (demo.folder / "account/terraform.tfstate").is_file()
    standing = demo.things()

    demo.write_account(bucket_exists=True)
    demo.terraform("account", "init", "-input=false", "-migrate-state", "-force-copy")
    demo.converged("account")
    assert json.loads(demo.state_of("account").read_text())["resources"]
    assert demo.things() == standing


def test_standing_parts_are_marked_and_belong_to_nobody(account_objects: Objects) -> None:
    tagged = [each for each in account_objects.values() if "tags_all" in each["values"]]
    assert len(tagged) >= 10
    for each in tagged:
        tags = each["values"]["tags_all"]
        assert tags["zave:standing"] == tags["cloud-nuke-excluded"] == "true", each["address"]
        assert "zave:instance" not in tags
        assert tags["Name"].startswith("zave-"), each["address"]


@pytest.mark.parametrize("minutes", [1, 10, 29, 30, 31, 45, 61, 90, 120])
def test_the_third_failure_alarms_however_long_a_run_takes(account_objects: Objects, minutes: int) -> None:
    """As CloudWatch does: a period counts in which the sum is 1 or more, and of missing data none."""
    [alarm] = [v for each in account_objects.values() if "FailedBuilds" in str(v := each["values"])]
    [project] = [
        each["values"] for each in account_objects.values() if each["type"] == "aws_codebuild_project"
    ]
    assert minutes <= project["build_timeout"]
    failures: list[int] = []
    fire = 0
    while len(failures) < 3:
        # a fire that finds a run at work ends well
        if not failures or fire >= failures[-1]:
            failures.append(fire + minutes)
        fire += 30
    for offset in range(alarm["period"] // 60):
        periods = sorted({(failure + offset) * 60 // alarm["period"] for failure in failures})
        seen = [each for each in periods if each > periods[-1] - alarm["evaluation_periods"]]
        assert len(seen) >= alarm["datapoints_to_alarm"] == 3
    # CloudWatch's limit for periods of less than an hour
    assert alarm["period"] * alarm["evaluation_periods"] <= 24 * 3600
    assert (alarm["statistic"], alarm["threshold"]) == ("Sum", 1)


def test_the_account_is_removed_whole_when_asked_to(demo: Demo) -> None:
    demo.write_account(bucket_exists=True, state={"lock": "dynamodb"})
    demo.terraform("account", "init", "-input=false")
    assert "module.state.aws_dynamodb_table.lock[0]" in demo.apply("account")
    demo.converged("account")
    demo.write_account(bucket_exists=True, force_destroy=True, state={"lock": "dynamodb"})
    assert demo.apply("account") == {"module.state.aws_s3_bucket.this": ("update",)}
    demo.terraform("account", "destroy", "-input=false", "-auto-approve")
    assert demo.things() == []


def policies_of(demo: Demo, root: str) -> dict[str, dict[str, Any]]:
    document = json.loads(demo.terraform(root, "show", "-json"))
    found = {}
    pending = [document["values"]["root_module"]]
    while pending:
        module = pending.pop()
        pending += module.get("child_modules", [])
        for each in module.get("resources", ()):
            if each["mode"] == "managed" and each["values"].get("policy"):
                found[each["address"]] = json.loads(each["values"]["policy"])
    return found


def test_policies_fit_into_what_iam_takes(account_objects: Objects, demo_objects: Objects) -> None:
    # IAM quotas: characters of a managed policy, and of all inline ones of a role, spaces not counted
    by_role: dict[str, int] = {}
    for each in (*account_objects.values(), *demo_objects.values()):
        text = re.sub(r"\s", "", each["values"].get("policy") or "")
        if each["type"] == "aws_iam_policy":
            assert len(text) <= 6144
        if each["type"] == "aws_iam_role_policy":
            role = each["values"]["role"]
            by_role[role] = by_role.get(role, 0) + len(text)
    assert len(by_role) >= 5
    assert max(by_role.values()) <= 10240


def actions_of(statement: dict[str, Any]) -> list[str]:
    actions = statement["Action"]
    return [actions] if isinstance(actions, str) else actions


CHANGES_NOTHING = ("BatchGet", "Describe", "Get", "List", "View")


def test_the_destroyer_deletes_nothing_but_what_its_instance_names(made: Demo) -> None:
    policies = policies_of(made, "account")
    mine = [p for a, p in policies.items() if re.search(r"aws_iam_role_policy\.(look|delete_)", a)]
    assert len(mine) == 3
    statements = [statement for policy in mine for statement in policy["Statement"]]
    assert any("eks:DeleteCluster" in actions_of(statement) for statement in statements)
    for statement in statements:
        if all(action.split(":")[1].startswith(CHANGES_NOTHING) for action in actions_of(statement)):
            continue
        # of the one role that schedules fire with
        if actions_of(statement) == ["iam:PassRole"]:
            continue
        scope = json.dumps([statement.get("Condition"), statement["Resource"]])
        assert "${aws:PrincipalTag/instance}" in scope, statement
        if statement["Resource"] == "*":
            assert "StringEquals" in statement["Condition"], statement


def test_the_destroyer_is_bounded_and_can_make_nothing(made: Demo, account_objects: Objects) -> None:
    boundary = policies_of(made, "account")["module.switch.aws_iam_policy.boundary"]
    allowed = [a for s in boundary["Statement"] if s["Effect"] == "Allow" for a in actions_of(s)]
    # a schedule that was deleted while something is left is made again, and nothing else
    making = re.compile(r":(Create(?!LogStream|Schedule$)|Run|Attach|PutRole|Allocate|Start(?!Build)|\*)")
    assert [action for action in allowed if making.search(action)] == []
    roles = [each for each in account_objects.values() if each["type"] == "aws_iam_role"]
    assert len(roles) == 3
    assert all(role["values"]["permissions_boundary"] for role in roles)
    granted = {
        action
        for address, policy in policies_of(made, "account").items()
        if ".aws_iam_role_policy." in address
        for statement in policy["Statement"]
        for action in actions_of(statement)
    }
    assert granted <= set(allowed)
