from collections.abc import Callable
from dataclasses import replace

import pytest

from zave.errors import StepFailedError
from zave.ports import Hypervisor, Item
from zave.rehearsal.hypervisor import SimulatedHypervisor
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]
GIB = 1 << 30


@pytest.fixture
def hypervisor(world: World) -> Hypervisor:
    return SimulatedHypervisor(world)


def _network(draft: DraftOf) -> Draft:
    hosts = [{"mac": "52:54:00:00:00:01", "ip": "10.17.3.11"}]
    ips = [{"address": "10.17.3.1", "prefix": 24, "dhcp": {"hosts": hosts}}]
    return draft("lab", type="libvirt_network", ips=ips)


def _domain(draft: DraftOf, name: str = "zave-homelab-worker-1") -> Draft:
    interface = {"mac": {"address": "52:54:00:00:00:01"}, "source": {"network": {"network": "lab"}}}
    return draft(
        name, running=True, vcpu=4, memory=8192, memory_unit="MiB", devices={"interfaces": [interface]}
    )


def _only(hypervisor: Hypervisor, type_: str) -> Item:
    (item,) = [item for item in hypervisor.items() if item.type == type_]
    return item


def test_items_are_what_libvirt_would_show(hypervisor: Hypervisor, world: World, draft: DraftOf) -> None:
    world.create(_network(draft))
    world.create(_domain(draft))
    world.create(
        draft("disk.qcow2", type="libvirt_volume", pool="default", path="/pool/disk.qcow2", capacity=50 * GIB)
    )
    domain = _only(hypervisor, "libvirt_domain")
    # the real provider 0.9.7 imports no volumes: an imported domain would stand on disks made anew
    assert (domain.id, domain.import_id) == ("uuid-zave-homelab-worker-1", None)
    assert domain.state == "present"
    assert domain.attributes == {
        "address": "10.17.3.11",
        "memory": str(8 * GIB),
        "vcpu": "4",
        "running": "yes",
    }
    volume = _only(hypervisor, "libvirt_volume")
    assert (volume.id, volume.import_id) == ("id-disk.qcow2", None)
    assert volume.attributes == {"pool": "default", "path": "/pool/disk.qcow2", "capacity": str(50 * GIB)}
    assert _only(hypervisor, "libvirt_network").id == "id-lab"


def test_files_of_terraforms_machine_and_other_platforms_are_not_items(
    hypervisor: Hypervisor, world: World, draft: DraftOf
) -> None:
    world.create(replace(draft("seed", type="libvirt_cloudinit_disk"), local=True))
    world.create(replace(draft("net", type="aws_vpc"), provider="aws"))
    assert hypervisor.items() == []
    assert "libvirt_cloudinit_disk" not in hypervisor.types


def test_machine_that_was_switched_off_is_shut_off(
    hypervisor: Hypervisor, world: World, draft: DraftOf
) -> None:
    world.create(_domain(draft))
    world.stop("libvirt_domain", "zave-homelab-worker-1")
    assert _only(hypervisor, "libvirt_domain").state == "shut off"


def test_what_a_leak_left_behind_stays_an_item_until_it_is_deleted(
    hypervisor: Hypervisor, world: World, draft: DraftOf
) -> None:
    world.faults.add("leak libvirt_volume")
    world.delete(world.create(draft("disk", type="libvirt_volume", pool="default")).key)
    item = _only(hypervisor, "libvirt_volume")
    assert item.attributes["left_behind"] == "yes"
    hypervisor.delete(item)
    assert hypervisor.items() == []
    hypervisor.delete(item)


def test_deletion_touches_only_the_item_named(hypervisor: Hypervisor, world: World, draft: DraftOf) -> None:
    world.create(draft("a", type="libvirt_volume", pool="x"))
    world.create(replace(draft("a", type="libvirt_volume", pool="y", id="other"), unique="y/a"))
    world.create(draft("a"))
    (item,) = [item for item in hypervisor.items() if item.id == "other"]
    hypervisor.delete(item)
    assert [item.id for item in hypervisor.items()] == ["id-a", "uuid-a"]


def test_refused_deletion_says_what_to_do(hypervisor: Hypervisor, world: World, draft: DraftOf) -> None:
    world.create(draft("disk", type="libvirt_volume", pool="default"))
    world.faults.add('refuse delete libvirt_volume with "in use"')
    with pytest.raises(StepFailedError) as caught:
        hypervisor.delete(_only(hypervisor, "libvirt_volume"))
    assert "in use" in (caught.value.details or "")
    assert "virsh vol-delete --pool default disk" in (caught.value.resolution or "")
    assert len(hypervisor.items()) == 1


def test_how_to_delete_quotes_hostile_names(hypervisor: Hypervisor) -> None:
    lines = {
        type_: hypervisor.how_to_delete(Item(type=type_, id="1", name="a; rm -rf ~"))
        for type_ in hypervisor.types
    }
    assert lines == {
        "libvirt_domain": "virsh destroy 'a; rm -rf ~'; virsh undefine 'a; rm -rf ~' --nvram",
        "libvirt_volume": "virsh vol-delete --pool default 'a; rm -rf ~'",
        "libvirt_network": "virsh net-destroy 'a; rm -rf ~'; virsh net-undefine 'a; rm -rf ~'",
        "libvirt_pool": "virsh pool-destroy 'a; rm -rf ~'; virsh pool-undefine 'a; rm -rf ~'",
    }


def test_capacity_is_the_host_less_what_stands(hypervisor: Hypervisor, world: World, draft: DraftOf) -> None:
    empty = hypervisor.capacity(pool="default")
    assert (empty.memory_free, empty.cores, empty.pool_free) == (64 * GIB, 16, 500 * GIB)
    world.create(_domain(draft))
    world.create(draft("a", type="libvirt_volume", pool="default", capacity=50 * GIB))
    world.create(draft("b", type="libvirt_volume", pool="default", capacity=2, capacity_unit="GiB"))
    world.create(draft("c", type="libvirt_volume", pool="other", capacity=100 * GIB))
    standing = hypervisor.capacity(pool="default")
    assert (standing.memory_free, standing.pool_free) == (56 * GIB, 448 * GIB)
    world.stop("libvirt_domain", "zave-homelab-worker-1")
    assert hypervisor.capacity(pool="default").memory_free == 64 * GIB


def test_host_can_be_another_one(hypervisor: Hypervisor, world: World) -> None:
    world.put_document("host", "default", {"cores": 2, "pool": 0})
    assert hypervisor.capacity(pool="default").cores == 2
    assert hypervisor.capacity(pool="default").pool_free == 0
    assert hypervisor.capacity(pool="default").memory_free == 64 * GIB


@pytest.mark.parametrize(
    ("number", "unit", "size"),
    [
        (1, None, 1024),
        (3, "KiB", 3072),
        (3, "k", 3072),
        (2, "MB", 2_000_000),
        (2, "GiB", 2 * GIB),
        (9, "b", 9),
    ],
)
def test_memory_is_counted_in_libvirts_units(
    hypervisor: Hypervisor, world: World, draft: DraftOf, number: int, unit: str | None, size: int
) -> None:
    world.create(draft("web", running=True, memory=number, memory_unit=unit))
    assert _only(hypervisor, "libvirt_domain").attributes["memory"] == str(size)


def test_a_console_is_the_machines_own_and_says_that_it_is_simulated(
    hypervisor: Hypervisor, world: World, draft: DraftOf
) -> None:
    world.create(_network(draft))
    world.create(_domain(draft))
    written = b"".join(hypervisor.console("zave-homelab-worker-1", seconds=0))
    assert b"simulated" in written
    assert b"10.17.3.11" in written
    with pytest.raises(StepFailedError, match="no machine zave-homelab-worker-2"):
        hypervisor.console("zave-homelab-worker-2", seconds=0)


def test_start_switches_a_machine_on_and_takes_the_time_of_a_boot(
    hypervisor: Hypervisor, world: World, draft: DraftOf
) -> None:
    world.create(_network(draft))
    world.create(_domain(draft))
    world.stop("libvirt_domain", "zave-homelab-worker-1")
    assert _only(hypervisor, "libvirt_domain").state == "shut off"
    before = world.clock.now()
    hypervisor.start("zave-homelab-worker-1")
    booted = world.clock.now()
    assert (booted - before).total_seconds() >= 15
    assert _only(hypervisor, "libvirt_domain").state == "present"
    hypervisor.start("zave-homelab-worker-1")
    assert world.clock.now() == booted
    with pytest.raises(StepFailedError, match="no machine nobody"):
        hypervisor.start("nobody")
