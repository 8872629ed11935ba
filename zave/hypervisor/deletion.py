"""Deleting exactly one thing from a libvirt host."""

from contextlib import suppress
from typing import Any

from zave.hypervisor.connection import Connection, libvirt_module, quoted
from zave.ports import Item


def how_to_delete(item: Item, connection: Connection) -> str:
    """One command line with which a person can delete `item`."""
    name = quoted(item.name)
    if item.type == "libvirt_domain":
        # `;`: a machine that is off cannot be destroyed, and is undefined all the same
        return f"{connection.virsh(f'destroy --domain {name}')}; " + connection.virsh(
            f"undefine --domain {name} --nvram --managed-save --snapshots-metadata"
        )
    if item.type == "libvirt_volume":
        pool = quoted(item.attributes.get("pool", "default"))
        return connection.virsh(f"vol-delete --pool {pool} --vol {name}")
    kind, option = ("net", "network") if item.type == "libvirt_network" else ("pool", "pool")
    return f"{connection.virsh(f'{kind}-destroy --{option} {name}')}; " + connection.virsh(
        f"{kind}-undefine --{option} {name}"
    )


def delete(item: Item, connection: Connection) -> None:
    """Delete `item` if type, name, id and, of a volume, pool are those of what is there.

    Gone already is fine; so is another thing under the same name or id: it is not `item`.
    """
    libvirt = libvirt_module()
    virt = connection.use()
    resolution = f"free it, then the same command again, or by hand: {how_to_delete(item, connection)}"
    with connection.telling(f"libvirt refused to delete {item.type} {item.name}", resolution=resolution):
        try:
            _DELETIONS[item.type](libvirt, virt, item)
        except libvirt.libvirtError as error:
            if error.get_error_code() not in _gone(libvirt):
                raise


def _domain(libvirt: Any, virt: Any, item: Item) -> None:
    domain = virt.lookupByUUIDString(item.id)
    if domain.name() != item.name:
        return
    persistent = bool(domain.isPersistent())
    flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    # not every driver knows these two
    if "<nvram" in domain.XMLDesc(0):
        flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    with suppress(libvirt.libvirtError):
        if domain.listAllCheckpoints(0):
            flags |= libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    if domain.isActive():
        _unless_off(libvirt, domain.destroy)
    if persistent:
        domain.undefineFlags(flags)


def _volume(libvirt: Any, virt: Any, item: Item) -> None:
    volume = virt.storageVolLookupByKey(item.id)
    pool = volume.storagePoolLookupByVolume().name()
    if volume.name() == item.name and item.attributes.get("pool", pool) == pool:
        volume.delete(0)


def _network(libvirt: Any, virt: Any, item: Item) -> None:
    network = virt.networkLookupByUUIDString(item.id)
    if network.name() == item.name:
        _stop_and_forget(libvirt, network)


def _pool(libvirt: Any, virt: Any, item: Item) -> None:
    # never `pool.delete`: it would remove the folder, with whatever else is in it
    pool = virt.storagePoolLookupByUUIDString(item.id)
    if pool.name() == item.name:
        _stop_and_forget(libvirt, pool)


def _stop_and_forget(libvirt: Any, thing: Any) -> None:
    persistent = bool(thing.isPersistent())
    if thing.isActive():
        _unless_off(libvirt, thing.destroy)
    if persistent:
        thing.undefine()


def _unless_off(libvirt: Any, destroy: Any) -> None:
    try:
        destroy()
    except libvirt.libvirtError as error:
        # it went off by itself meanwhile
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _gone(libvirt: Any) -> tuple[int, ...]:
    return (
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_NO_NETWORK,
        libvirt.VIR_ERR_NO_STORAGE_POOL,
        libvirt.VIR_ERR_NO_STORAGE_VOL,
    )


_DELETIONS = {
    "libvirt_domain": _domain,
    "libvirt_volume": _volume,
    "libvirt_network": _network,
    "libvirt_pool": _pool,
}
