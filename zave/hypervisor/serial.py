"""Where the text of a serial console comes from: virtlogd's file, here or through libvirtd, or the console.

Each source is an iterator of chunks that ends only with the machine; an empty chunk says that nothing is new.
"""

import os
import queue
import stat
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from zave.errors import StepFailedError
from zave.hypervisor.connection import Connection, libvirt_module
from zave.hypervisor.inventory import READING, by_name
from zave.text import clean

POLL_SECONDS = 0.2
"""How long is waited before a silent source is asked again."""

_CHUNK = 64 * 1024
# virtlogd keeps so many older pieces, 2 MiB each (virtlogd.conf: max_backups; at most 9 are looked for)
_PIECES = 9


class Source(ABC):
    """Where a console's text comes from; `kept` bytes of it are of the past."""

    kept = 0

    @abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """What was kept, then what comes; empty chunks while nothing does."""

    def rest(self) -> Iterator[bytes]:
        """What is there now."""
        for chunk in self.chunks():
            if not chunk:
                return
            yield chunk

    def wait(self, seconds: float) -> None:
        """Let time pass, or something come."""
        time.sleep(seconds)

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class LocalLog(Source):
    """The file of virtlogd on this machine, older pieces first. Raises OSError when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _opened(path)
        self._older: list[int] = []
        for number in range(_PIECES):
            try:
                self._older.insert(0, _opened(path.with_name(f"{path.name}.{number}")))
            except OSError:
                break
        self.kept = sum(os.fstat(each).st_size for each in (*self._older, self._file))

    def chunks(self) -> Iterator[bytes]:
        """As Source says. A file that was put aside is read to its end before the new one."""
        while True:
            if self._older:
                chunk = os.read(self._older[0], _CHUNK)
                if not chunk:
                    os.close(self._older.pop(0))
                    continue
            else:
                chunk = os.read(self._file, _CHUNK)
                if not chunk and self._put_aside():
                    continue
            yield chunk

    def close(self) -> None:
        """Close the files."""
        for each in (*self._older, self._file):
            os.close(each)
        self._older = []

    def _put_aside(self) -> bool:
        try:
            if os.path.samestat(os.fstat(self._file), self._path.stat()):
                return False
            fresh = _opened(self._path)
        except OSError:
            return False
        # between the last read and the move something may have been written
        self._older, self._file = [self._file], fresh
        return True


def _opened(path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a file")
    return descriptor


class DistantLog(Source):
    """The file of virtlogd, read by libvirtd: a pool over its folder makes files readable as volumes.

    Raises StepFailedError when that does not work.
    """

    def __init__(self, connection: Connection, path: PurePosixPath) -> None:
        self._libvirt = libvirt_module()
        # one of its own: readers in several threads, and a restart of libvirtd, stay apart
        self._virt = connection.open()
        self._pool: Any = None
        self._ours = False
        try:
            with connection.telling(f"libvirt does not let {path} be read"):
                self._pool, self._ours = self._over(path.parent)
                self._pool.refresh(0)
                sizes = self._sizes(path.name)
                if path.name not in sizes:
                    raise StepFailedError(f"there is no {path}", where=connection.where)
        except BaseException:
            self.close()
            raise
        self._name, self._folder = path.name, path.parent
        self._queue = [(name, 0) for name in sizes if name != path.name]
        self._offset = 0
        self.kept = sum(sizes.values())

    def chunks(self) -> Iterator[bytes]:
        """As Source says."""
        while True:
            if self._queue:
                name, offset = self._queue[0]
                chunk = self._read(name, offset)
                if chunk:
                    self._queue[0] = name, offset + len(chunk)
                else:
                    self._queue.pop(0)
                    continue
            else:
                chunk = self._read(self._name, self._offset)
                self._offset += len(chunk)
                if not chunk and self._put_aside():
                    continue
            yield chunk

    def close(self) -> None:
        """Take the pool down and hang up."""
        with suppress(self._libvirt.libvirtError):
            if self._ours:
                self._pool.destroy()
        with suppress(self._libvirt.libvirtError):
            self._virt.close()

    def _over(self, folder: PurePosixPath) -> tuple[Any, bool]:
        """A pool over `folder`, and whether it is ours to take down."""
        for pool in self._virt.listAllStoragePools(self._libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE):
            # libvirt allows one pool a folder: somebody's own, or that of another reader
            target = ElementTree.fromstring(pool.XMLDesc(0)).findtext("target/path")  # noqa: S314
            if target == str(folder):
                # one of ours: a reader that was killed left it, or one that works now and will make it anew
                return pool, pool.name().startswith(READING)
        name = f"{READING}{uuid.uuid4().hex[:12]}"
        # transient: nothing of it is left once it is stopped, or libvirtd restarts
        described = (
            f"<pool type='dir'><name>{name}</name><target><path>{escape(str(folder))}</path></target></pool>"
        )
        return self._virt.storagePoolCreateXML(described, 0), True

    def _sizes(self, name: str) -> dict[str, int]:
        """The pieces that there are, the oldest first, and their sizes."""
        names = [f"{name}.{number}" for number in reversed(range(_PIECES))] + [name]
        there = {volume.name(): volume for volume in by_name(self._pool.listAllVolumes(0))}
        return {each: self._size(there[each]) for each in names if each in there}

    def _size(self, volume: Any) -> int:
        # not `capacity`: what a guest writes may look like the head of a disk image
        return int(ElementTree.fromstring(volume.XMLDesc(0)).findtext("physical", "0"))  # noqa: S314

    def _read(self, name: str, offset: int) -> bytes:
        try:
            try:
                return self._download(name, offset)
            except self._libvirt.libvirtError:
                # another reader whose pool it was is done
                self._pool, self._ours = self._over(self._folder)
                self._pool.refresh(0)
                return self._download(name, offset)
        except self._libvirt.libvirtError as error:
            raise StepFailedError("the console can be read no longer", details=clean(str(error))) from error

    def _download(self, name: str, offset: int) -> bytes:
        volume = self._pool.storageVolLookupByName(name)
        stream = self._virt.newStream(0)
        volume.download(stream, offset, _CHUNK, 0)
        found = bytearray()
        while piece := stream.recv(_CHUNK):
            found += piece
        stream.finish()
        return bytes(found)

    def _put_aside(self) -> bool:
        with suppress(self._libvirt.libvirtError):
            self._pool.refresh(0)
            sizes = self._sizes(self._name)
            if sizes.get(self._name, self._offset) < self._offset:
                self._queue, self._offset = [(f"{self._name}.0", self._offset)], 0
                return f"{self._name}.0" in sizes
        return False


class Attached(Source):
    """The console itself. Nothing of the past; raises StepFailedError while somebody else is attached."""

    def __init__(self, connection: Connection, domain: Any) -> None:
        self._libvirt = libvirt_module()
        self._virt = connection.open()
        try:
            with connection.telling(
                f"the console of {domain.name()} cannot be attached",
                resolution="end the other console (virsh console, virt-manager), or give the machine a log: "
                "zave's own machines keep one",
            ):
                own = self._virt.lookupByUUIDString(domain.UUIDString())
                self._stream = self._virt.newStream(0)
                # not by force: who is attached stays
                own.openConsole(None, self._stream, 0)
        except BaseException:
            self._virt.close()
            raise
        # a reader that falls behind makes the machine wait, not this process grow
        self._queue: queue.Queue[bytes] = queue.Queue(maxsize=64)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="console", daemon=True)
        self._thread.start()

    def chunks(self) -> Iterator[bytes]:
        """What comes."""
        while not (self._ended.is_set() and self._queue.empty()):
            try:
                yield self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                yield b""

    def wait(self, seconds: float) -> None:
        """The queue has been waited for."""

    def close(self) -> None:
        """Let go of the console."""
        self._ended.set()
        with suppress(self._libvirt.libvirtError):
            self._stream.abort()
        with suppress(self._libvirt.libvirtError):
            self._virt.close()

    def _listen(self) -> None:
        with suppress(self._libvirt.libvirtError):
            while piece := self._stream.recv(_CHUNK):
                while not self._ended.is_set():
                    with suppress(queue.Full):
                        self._queue.put(piece, timeout=POLL_SECONDS)
                        break
        self._ended.set()
