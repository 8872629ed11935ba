"""What happens to the adapter when libvirtd goes away in the middle, and comes back."""

import contextlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.system.libvirtd import Libvirtd
from zave.errors import PreconditionError
from zave.hypervisor.host import LibvirtHypervisor
from zave.process import ProcessRunner

pytestmark = pytest.mark.machine


class Relay:
    """A socket that passes everything on to libvirtd's, until it is cut."""

    def __init__(self, path: Path, target: str) -> None:
        self.path = path
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones are accepted."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def close(self) -> None:
        """End all connections; nobody listens any more."""
        # a plain close does not wake the thread that accepts
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)


@pytest.fixture
def relay(libvirt_host: Libvirtd) -> Iterator[Relay]:
    query = parse_qs(urlsplit(libvirt_host.uri).query)
    target = query.get("socket", ["/run/libvirt/libvirt-sock"])[0]
    folder = Path(tempfile.mkdtemp(prefix="zave-relay-", dir="/var/tmp"))
    relay = Relay(folder / "sock", target)
    yield relay
    relay.close()
    shutil.rmtree(folder)


@pytest.fixture
def hypervisor(relay: Relay) -> Iterator[LibvirtHypervisor]:
    hypervisor = LibvirtHypervisor(f"qemu:///system?socket={relay.path}", runner=ProcessRunner())
    yield hypervisor
    hypervisor.close()


def test_reading_goes_on_when_libvirtd_was_restarted(relay: Relay, hypervisor: LibvirtHypervisor) -> None:
    before = hypervisor.items()
    relay.cut()
    assert hypervisor.items() == before


def test_lost_libvirtd_is_a_missing_precondition(relay: Relay, hypervisor: LibvirtHypervisor) -> None:
    pool = hypervisor.items()[0]
    relay.close()
    with pytest.raises(PreconditionError, match=r"lost|libvirtd is not running") as caught:
        hypervisor.delete(pool)
    assert "systemctl" in (caught.value.resolution or "")
    with pytest.raises(PreconditionError, match="libvirtd is not running"):
        hypervisor.items()


def test_console_of_a_lost_host_is_told(relay: Relay, hypervisor: LibvirtHypervisor) -> None:
    hypervisor.items()
    relay.close()
    with pytest.raises(PreconditionError):
        hypervisor.console("anything", seconds=0)


def test_scheme_that_libvirt_does_not_know_is_to_be_corrected(relay: Relay) -> None:
    hypervisor = LibvirtHypervisor(f"nonsense:///system?socket={relay.path}", runner=ProcessRunner())
    with pytest.raises(PreconditionError, match="no such libvirt host") as caught:
        hypervisor.items()
    assert "libvirt.uri" in (caught.value.resolution or "")
