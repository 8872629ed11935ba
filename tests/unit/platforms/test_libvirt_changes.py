from pathlib import Path
from typing import Any

import pytest

from zave.engine.step import StepRun
from zave.errors import RefusedChangeError
from zave.events import Event, Notice
from zave.platforms.libvirt_changes import lost_disks, machine_changes, require_agreed, restarts_several
from zave.tools.terraform import Plan

DOMAIN = {"name": "zave-lab-worker-1", "memory": 8192, "vcpu": 4, "type": "kvm"}
DISK = {"name": "zave-lab-worker-1-82433abc.qcow2", "backing_store": {"path": "/base"}}


def change(type_: str, actions: list[str], before: Any, after: Any) -> dict[str, Any]:
    return {"type": type_, "change": {"actions": actions, "before": before, "after": after}}


def told(*changes: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = machine_changes({"resource_changes": list(changes)})
    return [(each["name"], each["change"], each["why"]) for each in found]


def test_nothing_happens_to_machines_without_changes() -> None:
    assert told() == []
    assert machine_changes({}) == []
    assert told(change("libvirt_domain", ["no-op"], DOMAIN, DOMAIN)) == []
    assert (
        told(change("libvirt_volume", ["delete", "create"], {"name": "zave-lab-worker-1-seed.iso"}, {})) == []
    )
    assert told(change("libvirt_network", ["delete", "create"], {"name": "lab"}, {"name": "lab"})) == []


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({"memory": 12288}, "memory 8GiB -> 12GiB"),
        ({"vcpu": 2}, "processors 4 -> 2"),
        ({"memory": 512, "vcpu": 1}, "memory 8GiB -> 512MiB, processors 4 -> 1"),
        ({"autostart": True}, "its definition changes"),
    ],
)
def test_a_changed_size_restarts_the_machine_and_says_how(after: dict[str, Any], why: str) -> None:
    assert told(change("libvirt_domain", ["update"], DOMAIN, {**DOMAIN, **after})) == [
        ("lab-worker-1", "restarted", f"{why}; switched off and on, not drained")
    ]


def test_several_machines_that_restart_must_not_be_gone_at_once() -> None:
    first = change("libvirt_domain", ["update"], DOMAIN, {**DOMAIN, "memory": 512})
    other = {**DOMAIN, "name": "zave-lab-worker-2"}
    second = change("libvirt_domain", ["update"], other, {**other, "memory": 512})
    added = change("libvirt_domain", ["create"], None, {**DOMAIN, "name": "zave-lab-worker-3"})
    assert restarts_several({"resource_changes": [first, second]})
    assert not restarts_several({"resource_changes": [first, added]})


def test_more_and_fewer_machines_are_added_and_removed() -> None:
    assert told(change("libvirt_domain", ["create"], None, DOMAIN)) == [
        ("lab-worker-1", "added", "4 processors, 8GiB")
    ]
    (removed,) = told(
        change("libvirt_domain", ["delete"], DOMAIN, None), change("libvirt_volume", ["delete"], DISK, None)
    )
    assert removed[:2] == ("lab-worker-1", "removed")
    assert "disk" in removed[2]


@pytest.mark.parametrize("actions", [["delete", "create"], ["create", "delete"]])
def test_a_new_disk_is_a_new_machine_whatever_happens_to_its_domain(actions: list[str]) -> None:
    disk = change("libvirt_volume", actions, DISK, {"name": "zave-lab-worker-1-00000000.qcow2"})
    domain = change("libvirt_domain", ["update"], DOMAIN, DOMAIN)
    for changes in ([disk, domain], [domain, disk], [disk]):
        ((name, what, why),) = told(*changes)
        assert (name, what) == ("lab-worker-1", "rebuilt")
        assert "lost" in why


def test_a_lost_domain_with_a_new_disk_is_no_new_machine() -> None:
    added = change("libvirt_domain", ["create"], None, DOMAIN)
    disk = change("libvirt_volume", ["delete", "create"], DISK, {"name": "zave-lab-worker-1-00000000.qcow2"})
    for changes in ([disk, added], [added, disk]):
        assert [(name, what) for name, what, _ in told(*changes)] == [("lab-worker-1", "rebuilt")]


def test_a_replaced_domain_is_a_rebuilt_machine() -> None:
    assert told(change("libvirt_domain", ["delete", "create"], DOMAIN, DOMAIN))[0][1] == "rebuilt"


# what is lost

LOST = change("libvirt_volume", ["delete", "create"], DISK, {"name": "zave-lab-worker-1-00000000.qcow2"})


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ([LOST], {"lab-worker-1"}),
        ([change("libvirt_volume", ["delete"], DISK, None)], {"lab-worker-1"}),
        (
            [change("libvirt_volume", ["delete"], {"name": DISK["name"]}, None) | {"name": "disk"}],
            {"lab-worker-1"},
        ),
        # a machine that was lost is made again; a domain may go, a seed as well, and a base under nothing
        (
            [
                change("libvirt_volume", ["create"], None, DISK),
                change("libvirt_domain", ["create"], None, DOMAIN),
            ],
            (),
        ),
        ([change("libvirt_domain", ["delete", "create"], DOMAIN, DOMAIN)], ()),
        ([change("libvirt_volume", ["delete", "create"], {"name": "zave-lab-worker-1-seed.iso"}, {})], ()),
        ([change("libvirt_volume", ["delete", "create"], {"name": "zave-lab-base-0123.qcow2"}, {})], ()),
    ],
)
def test_only_a_disk_that_is_deleted_is_lost(changes: list[dict[str, Any]], lost: set[str]) -> None:
    plan = {"resource_changes": changes}
    assert lost_disks(plan) == set(lost)
    assert {each["name"] for each in machine_changes(plan) if each["loses_disk"]} == set(lost)


def agreeing(told: list[Event], agreed: frozenset[str] | None) -> None:
    run = StepRun("1", Path("log"), told.append, {}, step="infra", agreed=agreed)
    require_agreed(Plan(Path("plan"), "", True, document={"resource_changes": [LOST]}), run)


def test_a_disk_goes_in_silence_only_where_the_question_named_it() -> None:
    told: list[Event] = []
    agreeing(told, frozenset({"lab-worker-1", "lab-worker-2"}))
    assert told == []
    for agreed in (frozenset[str](), frozenset({"lab-worker-2"})):
        with pytest.raises(RefusedChangeError, match="lab-worker-1") as refused:
            agreeing(told, agreed)
        assert refused.value.exit_code == 5
        assert "same command again" in str(refused.value.resolution)


def test_where_nobody_was_asked_it_is_told() -> None:
    told: list[Event] = []
    agreeing(told, None)
    (notice,) = told
    assert isinstance(notice, Notice)
    assert notice.level == "warning"
    assert "lab-worker-1" in notice.text
