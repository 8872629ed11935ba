"""The switch's policies as Terraform renders them: enough for every deletion, and nothing of another's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.aws.conftest import empty_demo
from tests.policy.authorization import actions, changes, depends, exists, targets
from tests.policy.cases import (
    ACCOUNT,
    ALONE,
    BUCKET,
    CALLS,
    DESTROYER_ROLE,
    INSTANCE,
    LEFTOVERS,
    PROJECT_ROLE,
    SESSION,
    TABLE,
    UNDECIDED,
    Case,
    Role,
    cases,
)
from tests.policy.evaluator import Policy, Request, Rights, Statement, listed, matches, statements
from tests.policy.mutants import Mutant, mutants
from tests.policy.table import ends, looks, switching, table

if TYPE_CHECKING:
    from tests.integration.aws.conftest import Demo

pytest.importorskip("boto3", reason="the extra `aws` is not installed")
pytest.importorskip("policy_sentry", reason="policy-sentry of the extra `dev` is not installed")

MODULES = Path(__file__).parents[3] / "terraform-modules"
OF_INSTANCES = ("aws-ecr", "aws-eks", "aws-rds", "aws-vpc")
EVERYTHING: Policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
Policies = Mapping[str, Policy]


@pytest.fixture(scope="session")
def switch(tmp_path_factory: pytest.TempPathFactory, mirror: Path) -> dict[str, dict[str, Any]]:
    """The standing parts with all that a spec can add to them, by their names in the module."""
    account = empty_demo(tmp_path_factory.mktemp("switch"), mirror)
    account.write_account(bucket_exists=True, state={"lock": "dynamodb"})
    account.terraform("account", "init", "-input=false")
    account.apply("account")
    found = account.managed("account")
    return {address.removeprefix("module.switch."): each["values"] for address, each in found.items()}


@pytest.fixture(scope="session")
def policies(switch: dict[str, dict[str, Any]]) -> Policies:
    """The documents, by the names of what they are part of."""
    found = {
        address: json.loads(values["policy"])
        for address, values in switch.items()
        if address.startswith(("aws_iam_role_policy.", "aws_iam_policy.boundary"))
    }
    trust = {
        f"{address} trust": json.loads(values["assume_role_policy"])
        for address, values in switch.items()
        if address.startswith("aws_iam_role.")
    }
    return {**found, **trust}


def rights(policies: Policies) -> dict[Role, Rights]:
    """Who may do what."""

    def of(*names: str) -> list[Policy]:
        return [policies[f"aws_iam_role_policy.{name}"] for name in names]

    boundary = policies["aws_iam_policy.boundary"]
    own: dict[Role, list[Policy]] = {
        "destroyer": of("look", "delete_by_tag", "delete_by_name"),
        "project": of("project"),
        "scheduler": of("scheduler"),
    }
    bounded = {role: Rights(found, boundary) for role, found in own.items()}
    alone = {ALONE[role]: Rights(found) for role, found in own.items()}
    trust: dict[Role, Rights] = {
        "destroyer trust": Rights([policies["aws_iam_role.destroyer trust"]]),
        "project trust": Rights([policies["aws_iam_role.project trust"]]),
        "scheduler trust": Rights([policies["aws_iam_role.scheduler trust"]]),
    }
    return {**bounded, **alone, **trust, "boundary": Rights([EVERYTHING], boundary)}


def wrong(policies: Policies, wanted: list[Case]) -> list[Case]:
    found = rights(policies)
    return [case for case in wanted if not case.holds(found[case.role])]


# the table


def test_the_table_has_every_type_that_an_instance_is_made_of() -> None:
    files = [file for module in OF_INSTANCES for file in (MODULES / module).glob("*.tf")]
    files += (MODULES.parent / "templates" / "terraform" / "aws-eks").glob("main.tf*")
    text = "".join(file.read_text() for file in files)
    assert set(re.findall(r'^resource "(\w+)"', text, re.MULTILINE)) == set(table()["types"])
    assert set(re.findall(r'^data "(\w+)"', text, re.MULTILINE)) == set(table()["data"])
    assert {row["known"] for row in table()["types"].values()} <= {"source", "table", "api"}


def test_every_action_exists(policies: Policies) -> None:
    wanted = looks() | ends() | switching() | set(table()["project"]) | set(table()["scheduler"])
    assert [action for action in sorted(wanted) if not exists(action)] == []
    assert [action for action in sorted(looks()) if changes(action)] == []
    assert [action for action in sorted(ends()) if not changes(action)] == []
    named = {
        action for each in policies.values() for s in each["Statement"] for action in listed(s["Action"])
    }
    assert [each for each in sorted(named) if "*" not in each and not exists(each)] == []
    patterns = {each for each in named if "*" in each}
    all_of_them = set(actions(frozenset(each.partition(":")[0] for each in patterns)))
    for pattern in patterns:
        found = [each for each in all_of_them if re.fullmatch(pattern.replace("*", ".*"), each)]
        assert found, pattern
        assert [each for each in found if changes(each)] == []


def test_what_cannot_be_told_from_the_list_of_actions_is_named() -> None:
    unclear = {
        action
        for action in ends()
        # AWS may ask for more than the call that is made
        if depends(action) - ends()
        # several kinds, none of them required, of which ours is one
        or (action not in CALLS and not any(target.required for target in targets(action)))
    }
    optional = {
        action
        for action, kinds in CALLS.items()
        if any(
            not target.required and target.kind == "network-interface" and [target.kind] not in kinds
            for target in targets(action)
        )
    }
    assert unclear | optional == set(UNDECIDED)


# the policies


def test_each_role_may_do_what_it_must_and_nothing_to_what_is_anothers(policies: Policies) -> None:
    wanted = list(cases())
    assert len(wanted) > 500
    assert {case.allowed for case in wanted} == {True, False}
    assert wrong(policies, wanted) == []


def test_every_change_of_a_policy_would_be_noticed(policies: Policies) -> None:
    wanted = list(cases())
    made = list(mutants(policies))
    assert len(made) > 150
    assert [mutant.told for mutant in made if not _noticed(mutant, wanted)] == []


def _noticed(mutant: Mutant, wanted: list[Case]) -> bool:
    about: Statement = {"Effect": "Allow", "Action": mutant.statement["Action"], "Resource": "*"}
    touched = {case.action for case in wanted if matches(about, Request(case.action, "*"))}
    changed = mutant.policies[mutant.address]
    concerned = {
        role: found
        for role, found in rights(mutant.policies).items()
        if any(each is changed for each in (*found.identity, found.boundary))
    }
    return any(
        case.action in touched and case.role in concerned and not case.holds(concerned[case.role])
        for case in wanted
    )


def test_nothing_is_granted_that_nothing_needs(policies: Policies) -> None:
    needed: dict[Role, frozenset[str]] = {
        "destroyer": looks() | ends() | switching(),
        "project": frozenset(table()["project"]),
        "scheduler": frozenset(table()["scheduler"]),
    }
    found = rights(policies)
    for role, wanted in needed.items():
        granted = {action for s in statements(found[role].identity) for action in listed(s["Action"])}
        assert [each for each in sorted(granted) if "*" not in each and each not in wanted] == [], role
    most = {
        action for s in statements([policies["aws_iam_policy.boundary"]]) for action in listed(s["Action"])
    }
    everything = frozenset.union(*needed.values())
    assert [each for each in sorted(most) if "*" not in each and each not in everything] == []


def test_what_says_its_cluster_in_a_tags_key_alone_stays(policies: Policies) -> None:
    # a leak that the receipt tells: no policy variable can stand in a key
    mark = {f"aws:ResourceTag/kubernetes.io/cluster/zave-{INSTANCE}": ("owned",)}
    destroyer = rights(policies)["destroyer"]
    for action in ("ec2:DeleteVolume", "ec2:DeleteSnapshot", "elasticloadbalancing:DeleteLoadBalancer"):
        assert not destroyer.allow(Request(action, "arn:aws:any", {**SESSION, **mark}))


def test_only_the_project_becomes_the_destroyer(
    switch: dict[str, dict[str, Any]], policies: Policies
) -> None:
    assert switch["aws_iam_role.destroyer"]["arn"] == DESTROYER_ROLE
    (trust,) = policies["aws_iam_role.destroyer trust"]["Statement"]
    assert trust["Principal"] == {"AWS": PROJECT_ROLE}
    services = {
        name: statement["Principal"]
        for name in ("project", "scheduler")
        for statement in policies[f"aws_iam_role.{name} trust"]["Statement"]
    }
    assert services == {
        "project": {"Service": "codebuild.amazonaws.com"},
        "scheduler": {"Service": "scheduler.amazonaws.com"},
    }


def test_the_cases_name_what_terraform_makes(switch: dict[str, dict[str, Any]]) -> None:
    assert switch["module.state.aws_s3_bucket.this"]["bucket"] == BUCKET
    assert switch["module.state.aws_dynamodb_table.lock[0]"]["name"] == TABLE


def test_the_cases_name_instances_as_terraform_does(
    made: Demo, demo_objects: dict[str, dict[str, Any]]
) -> None:
    values = [each["values"] for each in demo_objects.values()]
    roles = {each["path"] for each in values if "assume_role_policy" in each}
    assert roles == {f"/zave/{INSTANCE}/"}
    clusters = [each["values"]["name"] for each in demo_objects.values() if each["type"] == "aws_eks_cluster"]
    assert clusters == [f"zave-{INSTANCE}"]
    aliases = [each["values"]["name"] for each in demo_objects.values() if each["type"] == "aws_kms_alias"]
    assert aliases == [f"alias/zave-{INSTANCE}-secrets"]
    # whatever can be tagged is
    untagged = [
        each["address"]
        for each in demo_objects.values()
        if "tags_all" in each["values"] and each["values"]["tags_all"].get("zave:instance") != INSTANCE
    ]
    assert untagged == []


def test_the_key_leaves_it_to_the_accounts_policies(demo_objects: dict[str, dict[str, Any]]) -> None:
    # of a key no policy of a role holds unless the key's own one says so
    (key,) = [each["values"] for each in demo_objects.values() if each["type"] == "aws_kms_key"]
    (statement,) = json.loads(key["policy"])["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", "kms:*", "*")
    assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_drivers_mark_what_they_make_as_the_instances(demo_objects: dict[str, dict[str, Any]]) -> None:
    addons = {
        each["values"]["addon_name"]: json.loads(each["values"]["configuration_values"] or "{}")
        for each in demo_objects.values()
        if each["type"] == "aws_eks_addon"
    }
    volumes = addons["aws-ebs-csi-driver"]["controller"]["extraVolumeTags"]
    interfaces = json.loads(addons["vpc-cni"]["env"]["ADDITIONAL_ENI_TAGS"])
    assert volumes["zave:instance"] == interfaces["zave:instance"] == INSTANCE


def test_controllers_tags_are_those_by_which_the_sweep_finds_them() -> None:
    from zave.aws.live.belonging import CLUSTER_TAGS

    assert set(LEFTOVERS) <= set(CLUSTER_TAGS)


def test_the_page_says_what_may_be_deleted() -> None:
    page = (MODULES.parent / "docs" / "destroyer-permissions.md").read_text()
    assert set(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", page)) == ends() | switching()
    assert all(f"`{name}`" in page for name in (*LEFTOVERS, *UNDECIDED))
