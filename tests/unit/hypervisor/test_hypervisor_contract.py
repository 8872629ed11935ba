"""What the rehearsed host promises, the real one keeps: the same assertions over both."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.hypervisor.conftest import GIB, UUID, Host, domain, network, pool
from zave.errors import StepFailedError
from zave.ports import Hypervisor, Item
from zave.rehearsal.hypervisor import SimulatedHypervisor
from zave.rehearsal.world import Draft, World


def _draft(kind: str, name: str, number: int, **more: object) -> Draft:
    identity = UUID.format(number)
    attributes = {"name": name, "uuid": identity, "id": identity, **more}
    return Draft("libvirt", kind, name, name, attributes)


def _fill(world: World) -> None:
    for name, number, running in (("web", 1, True), ("off", 2, False)):
        world.create(
            _draft("libvirt_domain", name, number, running=running, vcpu=2, memory=2048, memory_unit="MiB")
        )
    world.create(_draft("libvirt_network", "lab", 3))
    world.create(_draft("libvirt_pool", "default", 4))
    world.create(
        _draft(
            "libvirt_volume",
            "disk.qcow2",
            5,
            id="/pools/4/disk.qcow2",
            pool="default",
            path="/pools/4/disk.qcow2",
            capacity=GIB,
        )
    )


@pytest.fixture(params=["simulated", "libvirt"])
def hypervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hypervisor]:
    """A host with two machines, a network and a pool with one volume."""
    if request.param == "simulated":
        world = World.open(tmp_path / "world.db")
        _fill(world)
        yield SimulatedHypervisor(world)
        world.close()
        return
    host: Host = request.getfixturevalue("host")
    yield host(
        domain("web", 1),
        domain("off", 2, running=False),
        network("lab", 3),
        pool("default", 4, "disk.qcow2"),
    )


def _key(item: Item) -> tuple[str, str]:
    return item.type, item.name


def test_items_have_the_same_names_ids_states_and_attributes(hypervisor: Hypervisor) -> None:
    found = {_key(item): (item.id, item.state, dict(item.attributes)) for item in hypervisor.items()}
    size = {"memory": str(2 * GIB), "vcpu": "2"}
    assert found == {
        ("libvirt_domain", "web"): (UUID.format(1), "present", {**size, "running": "yes"}),
        ("libvirt_domain", "off"): (UUID.format(2), "shut off", {**size, "running": "no"}),
        ("libvirt_network", "lab"): (UUID.format(3), "present", {}),
        ("libvirt_pool", "default"): (UUID.format(4), "present", {}),
        ("libvirt_volume", "disk.qcow2"): (
            "/pools/4/disk.qcow2",
            "present",
            {"pool": "default", "path": "/pools/4/disk.qcow2", "capacity": str(GIB)},
        ),
    }
    assert hypervisor.types == {kind for kind, _name in found}


def test_none_can_be_imported_or_tells_its_owner(hypervisor: Hypervisor) -> None:
    for item in hypervisor.items():
        assert (item.import_id, item.owner, item.standing) == (None, None, False)


@pytest.mark.parametrize(
    "key",
    [
        ("libvirt_domain", "web"),
        ("libvirt_domain", "off"),
        ("libvirt_network", "lab"),
        ("libvirt_volume", "disk.qcow2"),
    ],
)
def test_deletion_takes_that_item_and_is_safe_to_repeat(hypervisor: Hypervisor, key: tuple[str, str]) -> None:
    before = {_key(item): item for item in hypervisor.items()}
    hypervisor.delete(before[key])
    hypervisor.delete(before[key])
    assert {_key(item) for item in hypervisor.items()} == set(before) - {key}


@pytest.mark.parametrize(
    "other", [lambda item: replace(item, name="another"), lambda item: replace(item, id=UUID.format(99))]
)
def test_what_is_not_exactly_the_item_stays(hypervisor: Hypervisor, other: Callable[[Item], Item]) -> None:
    before = sorted(map(_key, hypervisor.items()))
    for item in hypervisor.items():
        hypervisor.delete(other(item))
    assert sorted(map(_key, hypervisor.items())) == before


def test_start_brings_up_what_is_off_and_is_safe_to_repeat(hypervisor: Hypervisor) -> None:
    for _ in range(2):
        hypervisor.start("off")
        states = {item.name: item.state for item in hypervisor.items() if item.type == "libvirt_domain"}
        assert states == {"web": "present", "off": "present"}


def test_machine_that_is_not_there_is_told(hypervisor: Hypervisor) -> None:
    with pytest.raises(StepFailedError, match="nobody"):
        hypervisor.start("nobody")
    # at once, not when the first chunk is asked for
    with pytest.raises(StepFailedError, match="nobody"):
        hypervisor.console("nobody", seconds=0)


def test_command_lines_for_people_name_the_thing_as_one_word(hypervisor: Hypervisor) -> None:
    for item in hypervisor.items():
        line = hypervisor.how_to_delete(replace(item, name="a; rm -rf ~"))
        assert line.startswith("virsh ")
        assert "'a; rm -rf ~'" in line


def test_capacity_counts_what_is_there(hypervisor: Hypervisor) -> None:
    before = hypervisor.capacity(pool="default")
    (volume,) = [item for item in hypervisor.items() if item.type == "libvirt_volume"]
    hypervisor.delete(volume)
    assert hypervisor.capacity(pool="default").pool_free == before.pool_free + GIB
    assert before.cores > 0
    assert before.acceleration in ("kvm", "qemu")
