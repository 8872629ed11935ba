"""Two demos of one name in two regions: IAM shows the roles of both, and each keeps its own only."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.aws.memory import START, Account
from tests.unit.aws.things import instance_facts, item
from zave.aws.destroyer import Verdict
from zave.aws.lives import lives_elsewhere
from zave.clock import from_rfc3339, rfc3339
from zave.engine.step import StepRun
from zave.errors import PreconditionError
from zave.lifecycle.cloud_cleanup import CloudCleanup
from zave.lifecycle.run import Run
from zave.ports import Item
from zave.steps.adoption import Adoption
from zave.steps.site import Site
from zave.tools.terraform import Plan, Terraform

HERE, THERE = "2026-11-23T12:00:00.000Z", "2026-11-20T08:00:00.000Z"


def marked(kind: str, creation: str, **changes: Any) -> Item:
    return item("demo", kind, attributes={"tag:zave:creation": creation}, **changes)


def roles(creation: str) -> list[Item]:
    """A role with what hangs on it, and a profile: the parts of a role carry no tags."""
    name = f"zave-demo-nodes-{creation[8:10]}"
    return [
        marked("aws_iam_role", creation, id=name, name=name),
        item("demo", "aws_iam_role_policy", id=f"{name}:p", attributes={"role": name}),
        item("demo", "aws_iam_role_policy_attachment", id=f"{name}/arn", attributes={"role": name}),
        marked("aws_iam_instance_profile", creation, id=f"{name}-profile"),
    ]


def identities(items: Sequence[Item]) -> set[tuple[str, str]]:
    return {(each.type, each.id) for each in items}


def test_roles_of_another_life_are_elsewheres_with_all_that_hangs_on_them() -> None:
    items = [marked("aws_vpc", HERE), *roles(HERE), *roles(THERE)]
    assert lives_elsewhere(items, "demo", creation=HERE) == identities(roles(THERE))
    assert lives_elsewhere(items, "other", creation=HERE) == frozenset()


def test_what_an_earlier_life_left_in_this_region_is_still_the_instances() -> None:
    items = [marked("aws_vpc", THERE), *roles(THERE)]
    assert lives_elsewhere(items, "demo", creation=HERE) == frozenset()


def test_a_role_without_a_mark_is_not_taken_for_anothers() -> None:
    assert lives_elsewhere([item("demo", "aws_iam_role")], "demo", creation=HERE) == frozenset()


def test_the_destroyer_leaves_the_roles_of_the_other_region(expired: Account) -> None:
    assert instance_facts("demo").creation == HERE
    expired.inventory.add(*roles(HERE), *roles(THERE))
    verdict = expired.fire("demo")
    assert isinstance(verdict, Verdict)
    assert verdict.receipt is not None
    assert iam(expired) == identities(roles(THERE))
    told = {thing["id"] for thing in verdict.receipt["deleted"]}
    assert told >= {i.id for i in roles(HERE)}
    assert not told & {i.id for i in roles(THERE)}


def test_so_does_down(account: Account) -> None:
    account.make("demo")
    account.inventory.add(*roles(HERE), *roles(THERE))
    cleanup = CloudCleanup(site_of(account, created_at=from_rfc3339(HERE)), account)
    cleanup.note()
    cleanup.sweep(cast(Run, SimpleNamespace(notice=lambda _: None)))
    assert iam(account) == identities(roles(THERE))


def iam(account: Account) -> set[tuple[str, str]]:
    return identities([i for i in account.inventory.there.values() if i.type.startswith("aws_iam_")])


class Planned:
    """A Terraform that would make these roles."""

    def __init__(self, *names: str) -> None:
        self.imports: list[tuple[str, str]] = []
        self._names = names

    def plan(self) -> Plan:
        known = {address for address, _ in self.imports}
        return cast(
            Plan,
            SimpleNamespace(
                document={
                    "resource_changes": [
                        {
                            "address": name,
                            "type": "aws_iam_role",
                            "change": {"actions": ["create"], "after": {"name": name}},
                        }
                        for name in self._names
                        if name not in known
                    ]
                }
            ),
        )

    def write_imports(self, imports: list[tuple[str, str]]) -> None:
        self.imports = imports


def site_of(account: Account, *, created_at: datetime = START) -> Site:
    record = SimpleNamespace(created_at=created_at)
    facts: dict[str, Any] = {}
    store = SimpleNamespace(
        instance=lambda _: record,
        resources=lambda _: [],
        fact=lambda _, key: facts.get(key),
        put_fact=lambda _, key, value: facts.update({key: value}),
        prices=None,
    )
    tools = SimpleNamespace(
        inventory=account.inventory, clock=account.clock, identify=lambda _, values: values["name"]
    )
    return cast(Site, SimpleNamespace(instance="demo", store=store, tools=tools))


@pytest.mark.parametrize(("creation", "ours"), [(rfc3339(START), True), (THERE, False)])
def test_only_this_lifes_roles_are_brought_in(account: Account, creation: str, ours: bool) -> None:
    (role, *_) = roles(creation)
    account.inventory.add(replace(role, import_id=role.name))
    terraform = Planned(role.name)
    run = cast(StepRun, SimpleNamespace(step="infra", emit=lambda _: None, say=lambda _: None))
    adoption = Adoption(site_of(account), cast(Terraform, terraform), run)
    if ours:
        adoption.of(terraform.plan())
        assert terraform.imports == [(role.name, role.name)]
        return
    with pytest.raises(PreconditionError, match="may be in another region") as refused:
        adoption.of(terraform.plan())
    assert "--name" in (refused.value.resolution or "")
    assert terraform.imports == []
