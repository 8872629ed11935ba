import pytest

from tests.unit.hypervisor.conftest import GIB, UUID, Host, domain, network, pool
from zave.ports import Item


def test_items_are_all_that_stands_on_the_host(host: Host) -> None:
    hypervisor = host(
        domain("web", 1),
        domain("off", 2, running=False, memory=GIB, vcpu=1),
        network("lab", 3),
        pool("default", 4, "disk.qcow2"),
    )
    assert list(hypervisor.items()) == [
        Item(
            "libvirt_domain",
            UUID.format(2),
            "off",
            "shut off",
            attributes={"memory": str(GIB), "vcpu": "1", "running": "no"},
        ),
        Item(
            "libvirt_domain",
            UUID.format(1),
            "web",
            attributes={"memory": str(2 * GIB), "vcpu": "2", "running": "yes"},
        ),
        Item("libvirt_network", UUID.format(3), "lab"),
        Item("libvirt_pool", UUID.format(4), "default"),
        Item(
            "libvirt_volume",
            "/pools/4/disk.qcow2",
            "disk.qcow2",
            attributes={"pool": "default", "path": "/pools/4/disk.qcow2", "capacity": str(GIB)},
        ),
    ]
    assert {item.type for item in hypervisor.items()} == hypervisor.types


def test_names_are_taken_as_they_are(host: Host) -> None:
    hostile = ["a; rm -rf ~", "-c", "<name>&amp;", "$(id)", "\u202ereversed", "naïve"]
    hypervisor = host(*(domain(name, number) for number, name in enumerate(hostile, 1)))
    assert sorted(item.name for item in hypervisor.items()) == sorted(hostile)


def test_pools_through_which_consoles_are_read_are_nobodys(host: Host) -> None:
    hypervisor = host(pool("console-zave-0123456789ab", 1, "zave-home-web-console.log"), pool("default", 2))
    assert [item.name for item in hypervisor.items()] == ["default"]


def test_address_of_a_machine_is_its_lease(host: Host) -> None:
    interface = "<devices><interface type='network'><source network='lab'/></interface></devices>"
    machine = domain("web", 1).replace("<os>", f"{interface}<os>")
    hypervisor = host(network("lab", 2), machine)
    (found,) = [item for item in hypervisor.items() if item.type == "libvirt_domain"]
    # the simulator leases the first addresses of the network
    assert found.attributes["address"].startswith("10.17.2.")


@pytest.mark.parametrize(
    ("part", "look_up", "state"),
    [
        (domain("thing", 1), "lookupByName", "shut off"),
        (network("thing", 1), "networkLookupByName", "inactive"),
        (pool("thing", 1), "storagePoolLookupByName", "inactive"),
    ],
)
def test_what_is_switched_off_is_not_present(host: Host, part: str, look_up: str, state: str) -> None:
    hypervisor = host(part)
    (before,) = hypervisor.items()
    getattr(hypervisor._connection.use(), look_up)("thing").destroy()
    (after,) = hypervisor.items()
    assert (before.state, after.state) == ("present", state)
