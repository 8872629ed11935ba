"""What a libvirt host can still take."""

from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from zave.errors import PreconditionError, StepFailedError
from zave.hypervisor.connection import Connection, libvirt_module, quoted
from zave.hypervisor.inventory import refresh
from zave.ports import Capacity

_MEMINFO = Path("/proc/meminfo")


def capacity(connection: Connection, *, pool: str, acceleration: Literal["kvm", "qemu"]) -> Capacity:
    """Memory without swapping, processors, and the free bytes under `pool`.

    Raises PreconditionError when the pool is not there or not active.
    """
    free = connection.read(lambda virt: _pool_free(connection, virt, pool))
    memory = connection.read(_memory_free)
    if connection.on_this_machine:
        memory = min(memory, _available_here(memory))
    cores = connection.read(lambda virt: int(virt.getInfo()[2]))
    return Capacity(memory_free=memory, cores=cores, pool_free=free, acceleration=acceleration)


def offers_kvm(connection: Connection) -> bool:
    """Whether libvirt says that it can run x86-64 guests with KVM."""

    def ask(virt: Any) -> bool:
        libvirt = libvirt_module()
        try:
            described = virt.getDomainCapabilities(None, "x86_64", "q35", "kvm", 0)
        except libvirt.libvirtError:
            # another driver, or a QEMU without KVM
            return False
        return ElementTree.fromstring(described).findtext("domain") == "kvm"  # noqa: S314

    return connection.read(ask)


def _pool_free(connection: Connection, virt: Any, name: str) -> int:
    libvirt = libvirt_module()
    try:
        pool = virt.storagePoolLookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_STORAGE_POOL:
            raise
        others = ", ".join(sorted(each.name() for each in virt.listAllStoragePools(0))) or "none"
        target = "/var/lib/libvirt/images"
        define = connection.virsh(f"pool-define-as --name {quoted(name)} --type dir --target {target}")
        raise PreconditionError(
            f"there is no storage pool {name}",
            details=f"storage pools there: {others}",
            where=connection.where,
            resolution=f"name one of them in libvirt.pool, or make it: {define}; {_start(connection, name)}",
        ) from error
    if not pool.isActive():
        raise PreconditionError(
            f"the storage pool {name} is not active",
            where=connection.where,
            resolution=_start(connection, name),
        )
    refresh(libvirt, pool)
    return int(pool.info()[3])


def _start(connection: Connection, pool: str) -> str:
    name = quoted(pool)
    lines = (connection.virsh(f"{verb} --pool {name}") for verb in ("pool-start", "pool-autostart"))
    return "; ".join(lines)


def _memory_free(virt: Any) -> int:
    """Bytes. What the host's kernel caches it gives back when asked."""
    libvirt = libvirt_module()
    try:
        stats = virt.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS, 0)
    except libvirt.libvirtError:
        return int(virt.getFreeMemory())
    return 1024 * sum(int(stats.get(kind, 0)) for kind in ("free", "buffers", "cached"))


def _available_here(otherwise: int) -> int:
    """The kernel's own estimate: unlike libvirt's sum it leaves out what is cached but in use (tmpfs)."""
    try:
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
    except (OSError, ValueError, IndexError) as error:
        raise StepFailedError("the memory of this machine cannot be read", where=str(_MEMINFO)) from error
    return otherwise
