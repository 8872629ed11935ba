"""Starting machines that are off."""

from typing import Any
from xml.etree import ElementTree

from zave.errors import StepFailedError
from zave.hypervisor.connection import Connection, libvirt_module, quoted


def start(connection: Connection, name: str) -> None:
    """Start, resume or wake the domain `name`; running already is fine.

    Raises StepFailedError when it is not there or does not start.
    """
    libvirt = libvirt_module()
    resolution = f"see why: {connection.virsh(f'start --domain {quoted(name)} --console')}"
    with connection.telling(f"the machine {name} could not be started", resolution=resolution):
        try:
            virt = connection.use()
            domain = virt.lookupByName(name)
            _bring_up_networks(libvirt, virt, domain)
            _bring_up(libvirt, domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise
            raise StepFailedError(
                f"there is no machine {name}",
                where=connection.where,
                resolution="zave up makes what is missing",
            ) from error


def _bring_up_networks(libvirt: Any, virt: Any, domain: Any) -> None:
    """Start the networks that the domain is on: without them it cannot start, and Terraform sees neither."""
    described = ElementTree.fromstring(domain.XMLDesc(0))  # noqa: S314 - libvirt's own text
    for source in described.iterfind("./devices/interface/source"):
        name = source.get("network")
        if name is None:
            continue
        try:
            network = virt.networkLookupByName(name)
            if not network.isActive():
                network.create()
        except libvirt.libvirtError as error:
            # gone: the domain's own start tells it better; or somebody else was faster
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_NETWORK, libvirt.VIR_ERR_OPERATION_INVALID):
                raise


def _bring_up(libvirt: Any, domain: Any) -> None:
    state, _reason = domain.state(0)
    if state == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()
    elif state == libvirt.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup(0)
    elif state in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED):
        try:
            domain.create()
        except libvirt.libvirtError:
            # somebody else was faster
            if not domain.isActive():
                raise
