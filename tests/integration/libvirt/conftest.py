"""A real libvirtd, a network in it, and machines of this project's own XML."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest

from tests.integration.libvirt.tiny_guest import TinyGuest, tiny_guest
from tests.system.libvirtd import Libvirtd, free_bridge, free_subnet, libvirtd
from zave.hypervisor.host import LibvirtHypervisor
from zave.process import ProcessRunner


@dataclass(frozen=True)
class Network:
    """A NAT network with leases from .2 to .99; `subnet` is the first three bytes."""

    name: str
    subnet: str


@dataclass(frozen=True)
class Lab:
    """The host, a connection of the test's own, and what the machines boot."""

    host: Libvirtd
    virt: Any
    guest: TinyGuest
    network: Network


# the shape that terraform-modules/libvirt-vm gives a machine, but for the direct boot of the small kernel
_MACHINE = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>192</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{seed}'/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
    </disk>
    <interface type='network'>
      <mac address='{mac}'/>
      <source network='{network}'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'>
      <target type='isa-serial' port='0'/>
      {log}
    </serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""

Boot = Callable[..., Any]


@pytest.fixture(scope="session")
def libvirt_host() -> Iterator[Libvirtd]:
    with libvirtd() as host:
        yield host


@pytest.fixture(scope="session")
def lab(libvirt_host: Libvirtd) -> Iterator[Lab]:
    import libvirt

    libvirt_host.needs_network()
    virt = libvirt.open(libvirt_host.uri)
    network = Network(f"zave-lab-{uuid.uuid4().hex[:6]}", free_subnet())
    made = virt.networkDefineXML(
        f"<network><name>{network.name}</name><forward mode='nat'/>"
        f"<bridge name='{free_bridge()}'/><ip address='{network.subnet}.1' netmask='255.255.255.0'>"
        f"<dhcp><range start='{network.subnet}.2' end='{network.subnet}.99'/></dhcp></ip></network>"
    )
    made.create()
    try:
        yield Lab(libvirt_host, virt, tiny_guest(libvirt_host.folder), network)
    finally:
        made.destroy()
        made.undefine()
        virt.close()


@pytest.fixture
def hypervisor(libvirt_host: Libvirtd) -> Iterator[LibvirtHypervisor]:
    hypervisor = LibvirtHypervisor(libvirt_host.uri, runner=ProcessRunner())
    yield hypervisor
    hypervisor.close()


def make_volume(lab: Lab, name: str, *, kind: str = "qcow2", size: int = 1 << 20) -> Any:
    """A volume in the pool of the test."""
    pool = lab.virt.storagePoolLookupByName(lab.host.pool)
    return pool.createXML(
        f"<volume><name>{name}</name><capacity>{size}</capacity>"
        f"<target><format type='{kind}'/></target></volume>",
        0,
    )


@pytest.fixture
def boot(lab: Lab) -> Iterator[Boot]:
    """Defines and starts a machine with its two volumes; `log` is where its console is kept, if anywhere."""
    import libvirt

    made: list[Any] = []

    def start(name: str, *, log: str | None = None, mac: str = "52:54:00:5a:00:01") -> Any:
        disk, seed = make_volume(lab, f"{name}.qcow2"), make_volume(lab, f"{name}-seed.iso", kind="raw")
        made.extend([disk, seed])
        domain = lab.virt.defineXML(
            _MACHINE.format(
                name=name,
                kernel=lab.guest.kernel,
                initrd=lab.guest.initrd,
                disk=disk.path(),
                seed=seed.path(),
                mac=mac,
                network=lab.network.name,
                log=f"<log file={quoteattr(log)} append='off'/>" if log else "",
            )
        )
        made.insert(0, domain)
        domain.create()
        return domain

    yield start
    for each in made:
        with contextlib.suppress(libvirt.libvirtError):
            if hasattr(each, "undefine"):
                with contextlib.suppress(libvirt.libvirtError):
                    each.destroy()
                each.undefine()
            else:
                each.delete(0)
