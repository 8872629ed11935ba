import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from zave.lifecycle.room import NoRoomError, Shortage, require_room, shortages
from zave.ports import Capacity, Item
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

GIB = 1024**3
ROOMY = Capacity(memory_free=64 * GIB, cores=16, pool_free=500 * GIB, acceleration="kvm")


@dataclass
class Host:
    """A host with this much left, and these things on it."""

    left: Capacity = ROOMY
    there: list[Item] = field(default_factory=list)
    source: str = "a host"
    types: frozenset[str] = frozenset()

    def capacity(self, *, pool: str) -> Capacity:
        return self.left

    def items(self) -> Sequence[Item]:
        return self.there

    def delete(self, item: Item) -> None:
        raise AssertionError("asking whether there is room changes nothing")

    def how_to_delete(self, item: Item) -> str:
        raise AssertionError("asking whether there is room changes nothing")

    def reaches(self, network: str) -> bool:
        raise AssertionError("asking whether there is room changes nothing")

    def start(self, name: str) -> None:
        raise AssertionError("asking whether there is room changes nothing")

    def console(self, name: str, *, seconds: float) -> Iterator[bytes]:
        raise AssertionError("asking whether there is room changes nothing")


def spec(**nodes: Any) -> LibvirtSpec:
    """Three machines of 4 processors, 8 GiB and 50 GiB, but for what `nodes` says."""
    found = parse_spec(json.dumps({"platform": "libvirt-k3s", "nodes": nodes}), where="test")
    assert isinstance(found, LibvirtSpec)
    return found


def left(**changes: Any) -> Host:
    return Host(Capacity(**{**vars(ROOMY), **changes}))


def told(host: Host, wanted: LibvirtSpec | None = None) -> list[tuple[str, bool]]:
    found = shortages(wanted or spec(), instance="homelab", hypervisor=host)
    return [(shortage.what.partition(":")[0], shortage.refused) for shortage in found]


def machine(name: str, *, memory: int = 8, running: str = "yes") -> Item:
    attributes = {"memory": str(memory * GIB), "running": running}
    return Item("libvirt_domain", f"id-{name}", f"zave-homelab-{name}", attributes=attributes)


def volume(name: str) -> Item:
    return Item("libvirt_volume", f"/{name}", f"zave-homelab-{name}-12345678.qcow2")


def test_a_roomy_host_lacks_nothing() -> None:
    assert told(Host()) == []


@pytest.mark.parametrize(("free", "short"), [(24 * GIB, False), (24 * GIB - 1, True)])
def test_memory_is_strict_to_the_byte(free: int, *, short: bool) -> None:
    assert told(left(memory_free=free)) == ([("memory", True)] if short else [])


def test_what_the_instances_own_machines_have_is_not_wanted_again() -> None:
    host = left(memory_free=8 * GIB)
    host.there = [machine("control-plane-1"), machine("worker-1")]
    assert told(host) == []
    # one that is off has to get its share first, one that is somebody else's is no help
    host.there = [machine("control-plane-1"), machine("worker-1", running="no"), machine("worker-9")]
    assert told(host) == [("memory", True)]


def test_a_larger_machine_wants_the_difference() -> None:
    host = left(memory_free=8 * GIB)
    host.there = [machine(name) for name in ("control-plane-1", "worker-1", "worker-2")]
    assert told(host, spec(worker={"memory": "12GiB"})) == []
    assert told(host, spec(worker={"memory": "13GiB"})) == [("memory", True)]


def test_processors_are_told_and_never_refused() -> None:
    assert told(left(cores=3)) == [("processors", False)]
    assert told(left(cores=4)) == []
    assert told(left(cores=4), spec(worker={"count": 4})) == [("processors", False)]


def test_disks_that_can_outgrow_the_pool_are_told() -> None:
    assert told(left(pool_free=150 * GIB)) == []
    assert told(left(pool_free=150 * GIB - 1)) == [("pool default", False)]


def test_a_pool_that_cannot_even_take_the_image_is_refused() -> None:
    assert told(left(pool_free=7 * GIB)) == [("pool default", False)]
    assert told(left(pool_free=7 * GIB - 1)) == [("pool default", True)]


def test_disks_that_are_there_are_not_wanted_again() -> None:
    host = left(pool_free=0)
    host.there = [volume(name) for name in ("base", "control-plane-1", "worker-1", "worker-2")]
    assert told(host) == []
    host.there.pop()
    assert told(host) == [("pool default", True)]


def test_a_refusal_names_each_shortage_the_key_and_the_way_out() -> None:
    with pytest.raises(NoRoomError) as caught:
        require_room(
            [
                Shortage("memory: little", "nodes.*.memory", "smaller", refused=True),
                Shortage("pool: little", "libvirt.pool", "another", refused=True),
                Shortage("processors: few", "nodes.*.vcpu", "fewer", refused=False),
            ]
        )
    assert caught.value.exit_code == 5
    assert caught.value.details == "memory: little\npool: little"
    assert caught.value.where == "nodes.*.memory, libvirt.pool"
    assert caught.value.resolution == "smaller; or another"


def test_what_is_only_told_refuses_nothing() -> None:
    require_room([Shortage("processors: few", "nodes.*.vcpu", "fewer", refused=False)])
