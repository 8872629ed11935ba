"""Which addresses the DHCP servers of simulated libvirt networks hand out."""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from zave.rehearsal.values import find

# the network that libvirt's packages define: libvirt src/network/default.xml.in
_DEFAULT_NETWORK: Mapping[str, Any] = {
    "ips": [
        {
            "address": "192.168.122.1",
            "netmask": "255.255.255.0",
            "dhcp": {"ranges": [{"start": "192.168.122.2", "end": "192.168.122.254"}]},
        }
    ]
}


class Networks(Protocol):
    """Where networks are found."""

    def lookup(self, type: str, attribute: str, value: Any) -> Any:  # noqa: A002 - the world's own name
        """The thing of `type` whose `attribute` has `value`, or None."""
        ...


def interfaces(domain: Mapping[str, Any], networks: Networks) -> list[dict[str, Any]]:
    """A running domain's interfaces with their leases, in the words of libvirt's own answer.

    A domain that does not run has none.
    """
    if domain.get("running") is not True:
        return []
    found = []
    for index, (_, interface) in enumerate(find(domain, "devices.interfaces.*")):
        mac = _mac(domain, interface, index)
        address = lease(interface, mac, networks)
        if address is not None:
            found.append({"name": f"vnet{index}", "hwaddr": mac, "addrs": [address]})
    return found


def without_address(domain: Mapping[str, Any], networks: Networks) -> str | None:
    """The MAC address of the first interface that waits for an address and will never get one."""
    if domain.get("running") is not True:
        return None
    for index, (_, interface) in enumerate(find(domain, "devices.interfaces.*")):
        mac = _mac(domain, interface, index)
        if interface.get("wait_for_ip") is not None and lease(interface, mac, networks) is None:
            return mac
    return None


def lease(interface: Mapping[str, Any], mac: str, networks: Networks) -> dict[str, Any] | None:
    """The address that `interface` gets: a fixed host entry, else one of the range, else none."""
    name = next((value for _, value in find(dict(interface), "source.network.network")), None)
    if not isinstance(name, str):
        return None
    thing = networks.lookup("libvirt_network", "name", name)
    network = thing.attributes if thing is not None else _DEFAULT_NETWORK if name == "default" else {}
    for _, ip in find(dict(network), "ips.*"):
        address = _fixed(ip, mac) or _ranged(ip, mac)
        if address is not None:
            return {"type": "ipv6" if ":" in address else "ipv4", "addr": address, "prefix": _prefix(ip)}
    return None


def _fixed(ip: dict[str, Any], mac: str) -> str | None:
    for _, host in find(ip, "dhcp.hosts.*"):
        if str(host.get("mac")).lower() == mac.lower() and host.get("ip"):
            return str(host["ip"])
    return None


def _ranged(ip: dict[str, Any], mac: str) -> str | None:
    import ipaddress

    for _, span in find(ip, "dhcp.ranges.*"):
        if span.get("start") and span.get("end"):
            low = ipaddress.ip_address(span["start"])
            size = int(ipaddress.ip_address(span["end"])) - int(low) + 1
            offset = int.from_bytes(hashlib.sha256(mac.encode()).digest()[:8], "big") % max(size, 1)
            return str(low + offset)
    return None


def _prefix(ip: Mapping[str, Any]) -> int:
    import ipaddress

    if ip.get("prefix") is not None:
        return int(ip["prefix"])
    if ip.get("netmask"):
        return ipaddress.ip_network(f"0.0.0.0/{ip['netmask']}").prefixlen
    return 64 if ":" in str(ip.get("address")) else 24


def _mac(domain: Mapping[str, Any], interface: dict[str, Any], index: int) -> str:
    for _, address in find(interface, "mac.address"):
        if address:
            return str(address)
    # libvirt makes one up under QEMU's prefix
    digest = hashlib.sha256(f"{domain.get('uuid')}/{index}".encode()).hexdigest()
    return f"52:54:00:{digest[0:2]}:{digest[2:4]}:{digest[4:6]}"
