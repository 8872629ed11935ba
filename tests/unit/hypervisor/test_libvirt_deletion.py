import subprocess
from dataclasses import replace

import pytest

from tests.unit.hypervisor.conftest import Host, domain, network, pool
from zave.hypervisor.host import LibvirtHypervisor
from zave.ports import Item

HOSTILE = [
    "a; rm -rf ~",
    "--help",
    "$(id)",
    "it's",
    'say "hi"',
    "two\nlines",
    "tab\there",
    "back\\slash",
    "naïve",
]


def _names(hypervisor: LibvirtHypervisor, kind: str) -> list[str]:
    return [item.name for item in hypervisor.items() if item.type == kind]


def _one(hypervisor: LibvirtHypervisor, kind: str, name: str) -> Item:
    (item,) = [i for i in hypervisor.items() if (i.type, i.name) == (kind, name)]
    return item


@pytest.fixture
def full(host: Host) -> LibvirtHypervisor:
    return host(
        domain("web", 1),
        domain("web-2", 2, running=False),
        network("web", 3),
        network("web-2", 4),
        pool("web", 5, "web", "web-2"),
        pool("web-2", 6, "web"),
    )


@pytest.mark.parametrize("kind", ["libvirt_domain", "libvirt_network", "libvirt_pool"])
@pytest.mark.parametrize("name", ["web", "web-2"])
def test_deletion_takes_the_one_thing_and_may_be_repeated(
    full: LibvirtHypervisor, kind: str, name: str
) -> None:
    before = list(full.items())
    item = _one(full, kind, name)
    full.delete(item)
    full.delete(item)
    inside = {"libvirt_pool"} if kind == "libvirt_pool" else set()
    # what is in a pool that is gone cannot be listed, but nothing was done to it
    expected = [i for i in before if i != item and not (inside and i.attributes.get("pool") == name)]
    assert list(full.items()) == expected


def test_volume_is_deleted_from_its_own_pool_only(full: LibvirtHypervisor) -> None:
    volumes = [item for item in full.items() if item.type == "libvirt_volume"]
    assert sorted((v.attributes["pool"], v.name) for v in volumes) == [
        ("web", "web"),
        ("web", "web-2"),
        ("web-2", "web"),
    ]
    (item,) = [v for v in volumes if (v.attributes["pool"], v.name) == ("web-2", "web")]
    full.delete(item)
    full.delete(item)
    assert [item for item in full.items() if item.type == "libvirt_volume"] == [
        v for v in volumes if v != item
    ]


_ANOTHER = "00000000-0000-4000-8000-0000000000ff"
_OTHERS: list[tuple[str, dict[str, object]]] = [
    ("libvirt_domain", {"name": "web"}),
    ("libvirt_domain", {"id": _ANOTHER}),
    ("libvirt_network", {"name": "web"}),
    ("libvirt_network", {"id": _ANOTHER}),
    ("libvirt_pool", {"name": "web"}),
    ("libvirt_pool", {"id": _ANOTHER}),
    ("libvirt_volume", {"name": "web"}),
    ("libvirt_volume", {"id": "/pools/5/nothing"}),
    ("libvirt_volume", {"attributes": {"pool": "web-2"}}),
]


@pytest.mark.parametrize(("kind", "other"), _OTHERS)
def test_nothing_is_deleted_that_is_not_exactly_the_item(
    full: LibvirtHypervisor, kind: str, other: dict[str, object]
) -> None:
    before = list(full.items())
    item = next(i for i in before if (i.type, i.name) == (kind, "web-2"))
    full.delete(replace(item, **other))  # type: ignore[arg-type]
    assert list(full.items()) == before


def test_pool_that_is_off_is_forgotten(full: LibvirtHypervisor) -> None:
    full._connection.use().storagePoolLookupByName("web").destroy()
    full.delete(_one(full, "libvirt_pool", "web"))
    assert _names(full, "libvirt_pool") == ["web-2"]


@pytest.mark.parametrize("what", ["snapshot", "saved"])
def test_what_libvirt_keeps_of_a_machine_goes_with_it(full: LibvirtHypervisor, what: str) -> None:
    machine = full._connection.use().lookupByName("web")
    if what == "snapshot":
        machine.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>", 0)
    else:
        machine.managedSave(0)
    full.delete(_one(full, "libvirt_domain", "web"))
    assert _names(full, "libvirt_domain") == ["web-2"]


@pytest.mark.parametrize("name", HOSTILE)
def test_command_line_for_a_person_is_one_line_of_words_as_meant(host: Host, name: str) -> None:
    hypervisor = host()
    for kind in sorted(hypervisor.types):
        line = hypervisor.how_to_delete(Item(kind, "1", name, attributes={"pool": name}))
        assert line.isprintable()
        # what a shell would make of it; virsh is replaced by something that tells its arguments
        said = subprocess.run(
            ["bash", "-c", f'virsh() {{ printf "%s\\0" "$@"; }}; {line}'],
            capture_output=True,
            check=True,
        )
        words = said.stdout.decode().split("\0")
        assert words.count(name) == 2
