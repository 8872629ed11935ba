"""What a plan would do, from the document that `show -json` prints."""

from pathlib import Path
from typing import Any

import pytest

from zave.tools.terraform_plan import Plan, PlannedResource, held_resources, planned_resources


def change(actions: list[str], *, mode: str = "managed", **more: Any) -> dict[str, Any]:
    return {
        "address": 'module.vm["a"].libvirt_domain.this',
        "module_address": 'module.vm["a"]',
        "mode": mode,
        "type": "libvirt_domain",
        "name": "this",
        "change": {"actions": actions, "before": None, "after": None, **more},
    }


def planned(*changes: dict[str, Any]) -> tuple[PlannedResource, ...]:
    return planned_resources({"resource_changes": list(changes)})


@pytest.mark.parametrize(
    ("actions", "action"),
    [
        (["create"], "create"),
        (["update"], "update"),
        (["delete"], "delete"),
        (["delete", "create"], "replace"),
        (["create", "delete"], "replace"),
        (["forget"], "forget"),
    ],
)
def test_actions_get_their_names(actions: list[str], action: str) -> None:
    (resource,) = planned(change(actions))

    assert (resource.action, resource.address) == (action, 'module.vm["a"].libvirt_domain.this')
    assert resource.module == 'module.vm["a"]'


def test_what_does_not_change_and_what_is_only_read_is_left_out() -> None:
    assert planned(change(["no-op"]), change(["read"], mode="data"), change(["create"], mode="data")) == ()


def test_an_import_without_other_changes_is_an_import() -> None:
    imported: dict[str, Any] = {"importing": {"id": "7"}}

    (only,) = planned(change(["no-op"], **imported))
    (updated,) = planned(change(["update"], **imported))

    assert (only.action, only.imported) == ("import", True)
    assert (updated.action, updated.imported) == ("update", True)


def test_an_object_is_known_by_its_name_then_its_id_then_its_address() -> None:
    (named,) = planned(change(["create"], after={"name": "zave-x", "memory": 4}))
    (known,) = planned(change(["delete"], before={"id": 7, "name": None}))
    (unknown,) = planned(change(["create"], after={"id": None}, after_unknown={"id": True}))

    assert (named.object_name, dict(named.after)) == ("zave-x", {"name": "zave-x"})
    assert known.object_name == "7"
    assert unknown.object_name == unknown.address


def test_counts_and_words_sum_a_plan_up() -> None:
    resources = planned(
        change(["create"]),
        change(["create"], importing={"id": "1"}),
        change(["delete", "create"]),
        change(["no-op"], importing={"id": "2"}),
    )
    plan = Plan(Path("p"), "d", has_changes=True, resources=resources)

    assert plan.counts == {"create": 2, "update": 0, "replace": 1, "delete": 0}
    assert plan.describe() == "2 to create, 1 to replace, 2 to import"


def test_a_plan_of_outputs_or_of_nothing_says_so() -> None:
    assert Plan(Path("p"), "d", has_changes=True).describe() == "outputs only"
    assert Plan(Path("p"), "d", has_changes=False).describe() == "no changes"


def test_held_resources_are_found_in_every_module() -> None:
    item = {"mode": "managed", "type": "t", "name": "n", "values": {"id": "1", "name": "x"}}
    document = {
        "values": {
            "root_module": {
                "resources": [{**item, "address": "t.n"}, {**item, "address": "data.t.n", "mode": "data"}],
                "child_modules": [{"child_modules": [{"resources": [{**item, "address": "module.a.t.n"}]}]}],
            }
        }
    }

    assert [(held.address, held.id) for held in held_resources(document)] == [
        ("t.n", "1"),
        ("module.a.t.n", "1"),
    ]


def test_an_empty_state_holds_nothing() -> None:
    assert held_resources({"format_version": "1.0"}) == ()
