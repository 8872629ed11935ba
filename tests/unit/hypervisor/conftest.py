"""libvirt's own simulator: a host for each test, described by a file, without a daemon."""

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from zave.hypervisor.host import LibvirtHypervisor
from zave.process import ProcessRunner

Host = Callable[..., LibvirtHypervisor]

UUID = "00000000-0000-4000-8000-0000000000{:02x}"
GIB = 1 << 30


def domain(name: str, number: int, *, running: bool = True, memory: int = 2 * GIB, vcpu: int = 2) -> str:
    """A domain of the simulator: 1 is its word for running, 5 for shut off."""
    return (
        f"<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
        f"<name>{escape(name)}</name><uuid>{UUID.format(number)}</uuid>"
        f"<memory unit='bytes'>{memory}</memory><vcpu>{vcpu}</vcpu><os><type>hvm</type></os>"
        f"<test:runstate>{1 if running else 5}</test:runstate></domain>"
    )


def network(name: str, number: int) -> str:
    """A network."""
    return (
        f"<network><name>{escape(name)}</name><uuid>{UUID.format(number)}</uuid>"
        f"<bridge name='virbr{number}'/><ip address='10.17.{number}.1' netmask='255.255.255.0'/></network>"
    )


def pool(name: str, number: int, *volumes: str) -> str:
    """A pool of folders with volumes of 1 GiB."""
    inside = "".join(
        f"<volume type='file'><name>{escape(each)}</name><capacity unit='bytes'>{GIB}</capacity>"
        f"<target><path>/pools/{number}/{escape(each)}</path></target></volume>"
        for each in volumes
    )
    return (
        f"<pool type='dir'><name>{escape(name)}</name><uuid>{UUID.format(number)}</uuid>"
        f"<target><path>/pools/{number}</path></target>{inside}</pool>"
    )


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Makes a host of the parts given: `host(domain("web", 1), pool("default", 2, "disk"))`."""
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    made: list[LibvirtHypervisor] = []

    def make(*parts: str) -> LibvirtHypervisor:
        path = tmp_path / "host.xml"
        path.write_text(f"<node>{''.join(parts)}</node>")
        hypervisor = LibvirtHypervisor(f"test://{path}", runner=ProcessRunner())
        made.append(hypervisor)
        return hypervisor

    yield make
    for hypervisor in made:
        hypervisor.close()
