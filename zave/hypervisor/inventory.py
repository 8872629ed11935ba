"""What exists on a libvirt host, read anew each time."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from zave.clock import rfc3339
from zave.hypervisor.connection import Connection, libvirt_module
from zave.ports import Item

TYPES = frozenset({"libvirt_domain", "libvirt_volume", "libvirt_network", "libvirt_pool"})

READING = "console-zave-"
"""How pools begin through which consoles are read: they stand for seconds and are nobody's."""

# virDomainState (libvirt-domain.h); `no state` and `blocked` are what Xen says of running machines
_STATES = {
    0: "present",
    1: "present",
    2: "present",
    3: "paused",
    4: "shutting down",
    5: "shut off",
    6: "crashed",
    7: "suspended",
}


def items(connection: Connection) -> list[Item]:
    """Domains, volumes of active pools, networks and pools, whoever made them."""
    return connection.read(lambda virt: list(_items(libvirt_module(), virt)))


def _items(libvirt: Any, virt: Any) -> Iterator[Item]:
    # what vanishes between the list and the question is simply not there
    gone = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_STORAGE_POOL)
    for domain in by_name(virt.listAllDomains(0)):
        try:
            yield _domain(libvirt, domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in gone:
                raise
    for network in by_name(virt.listAllNetworks(0)):
        yield _switched("libvirt_network", network)
    for pool in by_name(virt.listAllStoragePools(0)):
        if pool.name().startswith(READING):
            continue
        yield _switched("libvirt_pool", pool)
        if not pool.isActive():
            continue
        for volume in _volumes(libvirt, pool):
            try:
                item = _volume(volume, pool.name())
            except libvirt.libvirtError as error:
                if error.get_error_code() not in gone:
                    raise
                continue
            if item is not None:
                yield item


def _domain(libvirt: Any, domain: Any) -> Item:
    number, memory_kib, _now, vcpu, _time = domain.info()
    state = _STATES.get(number, "unknown")
    running = state == "present"
    attributes = {
        "address": _address(libvirt, domain) if running else "",
        "memory": str(memory_kib * 1024),
        "vcpu": str(vcpu),
        "running": "yes" if running else "no",
    }
    return Item(
        type="libvirt_domain",
        id=domain.UUIDString(),
        name=domain.name(),
        state=state,
        attributes={name: text for name, text in attributes.items() if text},
    )


def _address(libvirt: Any, domain: Any) -> str:
    """The first address that a network of libvirt's has leased to it; IPv4 before IPv6."""
    try:
        interfaces = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, 0)
    except libvirt.libvirtError:
        # off by now, or a driver or network without leases
        return ""
    leased = [address for interface in interfaces.values() for address in interface["addrs"] or ()]
    leased.sort(key=lambda address: int(address["type"] != libvirt.VIR_IP_ADDR_TYPE_IPV4))
    return str(leased[0]["addr"]) if leased else ""


def _switched(kind: str, thing: Any) -> Item:
    return Item(
        type=kind,
        id=thing.UUIDString(),
        name=thing.name(),
        state="present" if thing.isActive() else "inactive",
    )


def _volumes(libvirt: Any, pool: Any) -> list[Any]:
    refresh(libvirt, pool)
    return by_name(pool.listAllVolumes(0))


def by_name(things: list[Any]) -> list[Any]:
    """In the order of their names; without those whose name is no text, which zave cannot have made."""
    named: list[tuple[str, Any]] = []
    for thing in things:
        # a file in somebody's pool may have any bytes for its name, and libvirt-python insists on UTF-8
        with suppress(UnicodeDecodeError):
            named.append((thing.name(), thing))
    return [thing for _name, thing in sorted(named, key=lambda each: each[0])]


def refresh(libvirt: Any, pool: Any) -> None:
    """Have libvirt look at a folder again: it does not notice files that come and go behind its back."""
    # other kinds of pool would be asked over a network, or scanned
    if ElementTree.fromstring(pool.XMLDesc(0)).get("type") == "dir":  # noqa: S314
        # while a volume is being uploaded the list is as good as it gets
        with suppress(libvirt.libvirtError):
            pool.refresh(0)


def _volume(volume: Any, pool: str) -> Item | None:
    found = ElementTree.fromstring(volume.XMLDesc(0))  # noqa: S314
    # a folder inside a pool is listed too, and is none of ours
    if found.get("type", "file") not in ("file", "block"):
        return None
    attributes = {
        "pool": pool,
        "path": found.findtext("target/path", ""),
        "capacity": found.findtext("capacity", ""),
    }
    return Item(
        type="libvirt_volume",
        # what Terraform's provider calls its id (dmacvicar/libvirt 0.9, volume_resource.go)
        id=volume.key(),
        name=volume.name(),
        attributes={name: text for name, text in attributes.items() if text},
        created_at=_moment(found.findtext("target/timestamps/btime")),
    )


def _moment(seconds: str | None) -> str | None:
    try:
        since_1970 = float(seconds or 0)
        # 0 where the file system does not keep it
        return rfc3339(datetime.fromtimestamp(since_1970, UTC)) if since_1970 > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
