from typing import Any

import pytest

from zave.rehearsal import leases
from zave.rehearsal.world import Draft, World

MAC = "52:54:00:aa:bb:01"


def network(world: World, **ip: Any) -> None:
    attributes = {"name": "lab", "ips": [{"address": "10.17.3.1", "prefix": 24, **ip}]}
    world.create(Draft("libvirt", "libvirt_network", "lab", "lab", attributes, seconds=0.0))


def domain(*, mac: str | None = MAC, running: bool = True, **more: Any) -> dict[str, Any]:
    interface = {
        "mac": {"address": mac} if mac else None,
        "source": {"network": {"network": "lab"}},
        "wait_for_ip": {"timeout": 9},
    }
    return {"uuid": "u", "running": running, "devices": {"interfaces": [{**interface, **more}]}}


def test_a_fixed_host_entry_gives_its_address_whatever_the_case_of_the_mac(world: World) -> None:
    network(world, dhcp={"hosts": [{"mac": MAC.upper(), "ip": "10.17.3.21"}]})
    assert leases.interfaces(domain(), world) == [
        {"name": "vnet0", "hwaddr": MAC, "addrs": [{"type": "ipv4", "addr": "10.17.3.21", "prefix": 24}]}
    ]


def test_a_range_gives_the_same_address_of_it_each_time(world: World) -> None:
    network(world, dhcp={"ranges": [{"start": "10.17.3.100", "end": "10.17.3.109"}]})
    first, second = (leases.interfaces(domain(), world)[0]["addrs"][0]["addr"] for _ in range(2))
    assert first == second
    assert 100 <= int(first.rsplit(".", 1)[1]) <= 109


def test_an_interface_without_a_mac_gets_one_under_qemus_prefix(world: World) -> None:
    network(world, dhcp={"ranges": [{"start": "10.17.3.100", "end": "10.17.3.109"}]})
    assert leases.interfaces(domain(mac=None), world)[0]["hwaddr"].startswith("52:54:00:")


def test_a_domain_that_does_not_run_has_no_lease_and_waits_for_none(world: World) -> None:
    network(world)
    assert leases.interfaces(domain(running=False), world) == []
    assert leases.without_address(domain(running=False), world) is None


def test_an_interface_that_no_server_knows_is_named(world: World) -> None:
    network(world, dhcp={"hosts": [{"mac": "52:54:00:00:00:00", "ip": "10.17.3.5"}]})
    assert leases.interfaces(domain(), world) == []
    assert leases.without_address(domain(), world) == MAC


def test_an_interface_that_does_not_wait_may_stay_without_address(world: World) -> None:
    network(world)
    assert leases.without_address(domain(wait_for_ip=None), world) is None


def test_the_network_that_comes_with_libvirt_needs_no_resource(world: World) -> None:
    machine = domain(source={"network": {"network": "default"}})
    (found,) = leases.interfaces(machine, world)
    assert found["addrs"][0]["addr"].startswith("192.168.122.")
    assert found["addrs"][0]["prefix"] == 24


@pytest.mark.parametrize(
    ("ip", "prefix"),
    [({"prefix": None, "netmask": "255.255.240.0"}, 20), ({"prefix": None}, 24), ({"prefix": 28}, 28)],
)
def test_the_prefix_comes_from_the_network(world: World, ip: dict[str, Any], prefix: int) -> None:
    network(world, dhcp={"hosts": [{"mac": MAC, "ip": "10.17.3.21"}]}, **ip)
    assert leases.interfaces(domain(), world)[0]["addrs"][0]["prefix"] == prefix
