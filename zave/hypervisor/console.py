"""The serial console of a domain: what was kept of it, then what comes.

libvirt's virtlogd keeps what a serial device with `<log file=...>` writes. That file is followed: unlike the
console itself it loses nothing, and several may read it at once. It is root's, so for most people and for
every host that is elsewhere it is read through libvirtd, by a pool over its folder that stands meanwhile.
Only where nothing is kept the console itself is attached; libvirt refuses that while somebody else is.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from zave.errors import StepFailedError
from zave.hypervisor.connection import Connection, libvirt_module, quoted
from zave.hypervisor.serial import POLL_SECONDS, Attached, DistantLog, LocalLog, Source
from zave.text import clean

_ALIVE_SECONDS = 1.0
_LAST_BYTES = 2000


def console(connection: Connection, name: str, *, seconds: float) -> Iterator[bytes]:
    """All that was kept, then what comes, for `seconds` or until the machine goes off.

    An empty chunk says that it is silent just now. Raises StepFailedError when there is no such domain
    or it is off, with the last that it wrote.
    """
    libvirt = libvirt_module()
    domain, xml, active = connection.read(lambda virt: _looked_up(libvirt, virt, connection, name))
    log = _log_of(xml)
    if not active:
        raise StepFailedError(
            f"the machine {name} is off",
            details=_last_words(connection, log),
            where=connection.where,
            resolution=connection.virsh(f"start --domain {quoted(name)}"),
        )
    source = _kept(connection, log) or Attached(connection, domain)
    return _until(source, domain, libvirt, seconds)


def _looked_up(libvirt: Any, virt: Any, connection: Connection, name: str) -> tuple[Any, str, bool]:
    try:
        domain = virt.lookupByName(name)
        return domain, domain.XMLDesc(0), bool(domain.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        raise StepFailedError(
            f"there is no machine {name}",
            where=connection.where,
            resolution=f"{connection.virsh('list --all')} shows those that are there",
        ) from error


def _log_of(xml: str) -> PurePosixPath | None:
    """The file in which virtlogd keeps what the first serial device writes."""
    log = ElementTree.fromstring(xml).find("devices/serial/log")  # noqa: S314
    path = log.get("file") if log is not None else None
    return PurePosixPath(path) if path else None


def _kept(connection: Connection, log: PurePosixPath | None) -> Source | None:
    """The log, read here where that is allowed, else by libvirtd; None where neither goes."""
    if log is None:
        return None
    if connection.local:
        with suppress(OSError):
            return LocalLog(Path(log))
    with suppress(StepFailedError):
        return DistantLog(connection, log)
    return None


def _until(source: Source, domain: Any, libvirt: Any, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    look = time.monotonic() + _ALIVE_SECONDS
    kept = source.kept
    try:
        for chunk in source.chunks():
            kept -= len(chunk)
            yield chunk
            now = time.monotonic()
            if now >= deadline and (not chunk or kept <= 0):
                return
            if chunk:
                continue
            if now >= look:
                if not _active(libvirt, domain):
                    yield from source.rest()
                    return
                look = now + _ALIVE_SECONDS
            source.wait(min(POLL_SECONDS, max(0.0, deadline - now)))
    finally:
        source.close()


def _active(libvirt: Any, domain: Any) -> bool:
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError:
        return False


def _last_words(connection: Connection, log: PurePosixPath | None) -> str | None:
    """The end of what was kept: why a machine went off often stands there."""
    source = _kept(connection, log)
    if source is None:
        return None
    last = b""
    try:
        for chunk in source.rest():
            last = (last + chunk)[-_LAST_BYTES:]
    finally:
        source.close()
    return clean(last.decode("utf-8", "replace")).strip() or None
