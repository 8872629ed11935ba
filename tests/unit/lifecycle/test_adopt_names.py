"""Which things on a host are of a home lab, when names are all there is."""

import pytest

from zave.lifecycle.adopt_lab import _is_of
from zave.ports import Item

OWN = [
    ("libvirt_domain", "zave-lab-control-plane-1"),
    ("libvirt_domain", "zave-lab-worker-12"),
    ("libvirt_volume", "zave-lab-worker-1-ed6f3c0c.qcow2"),
    ("libvirt_volume", "zave-lab-worker-1-seed.iso"),
    ("libvirt_volume", "zave-lab-base-9c436ff6.qcow2"),
    ("libvirt_network", "lab-net"),
]
OTHERS = [
    ("libvirt_domain", "zave-lab-2-worker-1"),
    ("libvirt_domain", "zave-lab-worker-1-worker-1"),
    ("libvirt_domain", "zave-lab-worker-1-copy"),
    ("libvirt_domain", "zave-laboratory-worker-1"),
    ("libvirt_volume", "zave-lab-worker-1-base-9c436ff6.qcow2"),
    ("libvirt_volume", "zave-lab-worker-1-data.qcow2"),
    ("libvirt_volume", "zave-lab-worker-1-ed6f3c0c.qcow2.bak"),
    ("libvirt_network", "zave-lab-2"),
    ("libvirt_pool", "zave-lab-worker-1"),
]


@pytest.mark.parametrize(("type_", "name"), OWN)
def test_names_that_the_modules_give_are_the_instances(type_: str, name: str) -> None:
    assert _is_of(Item(type_, "id", name), "lab", network="lab-net")


@pytest.mark.parametrize(("type_", "name"), OTHERS)
def test_names_of_others_are_not(type_: str, name: str) -> None:
    assert not _is_of(Item(type_, "id", name), "lab", network="lab-net")
