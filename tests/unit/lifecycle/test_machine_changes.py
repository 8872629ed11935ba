from typing import Any

import pytest

from zave.lifecycle.machine_changes import machine_changes

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
        ("lab-worker-1", "restarted", why)
    ]


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


def test_a_replaced_domain_is_a_rebuilt_machine() -> None:
    assert told(change("libvirt_domain", ["delete", "create"], DOMAIN, DOMAIN))[0][1] == "rebuilt"
