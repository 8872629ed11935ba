"""What people are told when libvirt cannot be reached."""

import os
import shlex
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.hypervisor.conftest import Host, domain
from zave.errors import PreconditionError, ToolMissingError, ZaveError
from zave.hypervisor.connection import Connection, libvirt_module


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path: the name of a socket has at most 107 bytes."""
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def deaf(folder: Path) -> Iterator[Path]:
    """A socket on which nobody ever answers."""
    path = folder / "deaf"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


@pytest.fixture
def abandoned(folder: Path) -> Path:
    """The socket of a daemon that died."""
    path = folder / "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return path


def _error(uri: str, *, patience: float = 10.0) -> ZaveError:
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    with pytest.raises(PreconditionError) as caught:
        Connection(uri, patience=patience).use()
    error = caught.value
    assert error.where == f"libvirt {uri}"
    # what to try, with the very host that zave tried
    assert f"virsh -c {shlex.quote(uri)} list" in (error.resolution or "")
    return error


@pytest.mark.parametrize("missing", [True, False])
def test_libvirtd_that_does_not_run_is_to_be_started(folder: Path, abandoned: Path, missing: bool) -> None:
    error = _error(f"qemu:///system?socket={folder / 'nothing' if missing else abandoned}")
    assert error.brief == "libvirtd is not running"
    assert "systemctl enable --now libvirtd" in (error.resolution or "")
    assert ("No such file" if missing else "refused") in (error.details or "")


def test_libvirtd_that_hangs_does_not_hang_zave(deaf: Path) -> None:
    error = _error(f"qemu:///system?socket={deaf}", patience=0.2)
    assert error.brief == "libvirt does not answer"


# what libvirt says of another scheme depends on whether a libvirtd runs here
@pytest.mark.parametrize("uri", ["not a uri", "test:///no/such/file.xml"])
def test_uri_that_names_nothing_is_to_be_corrected(uri: str) -> None:
    error = _error(uri)
    assert error.brief == "libvirt cannot be reached"
    assert "libvirt.uri" in (error.resolution or "")
    assert error.details


def test_host_that_does_not_answer_by_ssh_is_named(folder: Path) -> None:
    with socket.socket() as taken:
        # bound and not listening: nobody else gets the port, and every connection is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = _error(f"qemu+ssh://nobody@127.0.0.1:{port}/system")
    assert error.brief == "the libvirt host 127.0.0.1 cannot be reached"
    assert "`ssh 127.0.0.1 true` works" in (error.resolution or "")
    assert "refused" in (error.details or "")


def test_who_may_not_use_the_socket_is_to_join_the_group(deaf: Path) -> None:
    script = f"""
        import os, sys
        from zave.errors import PreconditionError
        from zave.hypervisor.connection import Connection, libvirt_module
        libvirt_module()
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        try:
            Connection("qemu:///system?socket={deaf}", patience=1).use()
        except PreconditionError as error:
            print(error.brief, error.resolution, sep="|")
    """
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    deaf.chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "USER": "kim"},
    )
    brief, _, resolution = done.stdout.strip().partition("|")
    assert brief == "you may not use libvirt's socket"
    assert resolution.startswith("sudo usermod -aG libvirt kim, then log in anew")


def test_without_libvirt_python_its_installation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    libvirt_module.cache_clear()
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(ToolMissingError) as caught:
        Connection("qemu:///system").use()
    assert "libvirt-python" in (caught.value.resolution or "")


def test_libvirts_errors_are_not_printed(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    hypervisor = host(domain("web", 1))
    with pytest.raises(ZaveError):
        hypervisor.start("nobody")
    assert capfd.readouterr() == ("", "")


def test_import_of_the_adapter_does_not_import_libvirt() -> None:
    script = "import sys, zave.hypervisor; print('libvirt' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
