"""A real libvirtd for tests: one that is started and stopped here, else the system's own where it answers.

    from tests.system.libvirtd import Libvirtd, libvirtd

    @pytest.fixture(scope="session")
    def host() -> Iterator[Libvirtd]:
        with libvirtd() as host:
            yield host

    host.uri       for libvirt-python, virsh and the Terraform provider (which knows `?socket=`)
    host.pool      an active directory pool of its own, empty, removed at the end with what is in it
    host.folder    the folder of that pool: QEMU may read and write in it and reach it
    host.logs      a folder for console logs: virtlogd may write in it, the test may read it
    host.needs_network()   skips the test where virtual networks cannot work
    free_subnet()          the first three bytes of a /24 for such a network
    free_bridge()          a name for its bridge

Console logs at libvirt's default place, /var/log/libvirt/qemu, cannot be seen from outside where libvirtd
is private: LibvirtHypervisor.console reads them through libvirtd. Domains must be of type `qemu` (emulated)
unless `LibvirtHypervisor.capacity` says `kvm`.

The system's own is used where none can be started (a container that may not mount), or on request, for a run
under the machine's AppArmor or SELinux: `ZAVE_TEST_LIBVIRT=system`.

Skips the test, with the reason, where there is nothing to start or the user may not start it (not root,
packages of `tests/system/packages.txt` missing).

The one started here needs no systemd. It runs in namespaces of its own for mounts and processes: what
libvirt keeps in /etc, /run, /var/lib, /var/cache and /var/log lies in a throw-away folder. So nothing of the
machine's own libvirt is seen or changed, two of them may run side by side, and whatever they started ends
with them. The network is the machine's: guests can be reached from the test. Bridges and firewall rules are
libvirt's own and are taken down with the networks at the end, also when the test process was killed.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

SYSTEM = "qemu:///system"
# what libvirt keeps at fixed places; each gets a folder of its own
_PLACES = (
    "/etc/libvirt",
    "/run/libvirt",
    "/var/lib/libvirt",
    "/var/cache/libvirt",
    "/var/log/libvirt",
)
_PROGRAMS = ("libvirtd", "virtlogd", "virsh", "qemu-system-x86_64", "dnsmasq", "unshare", "mount")
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private")
# read now: tests drop what the caller's shell says about zave
_WISH = os.environ.get("ZAVE_TEST_LIBVIRT")
_READY_SECONDS = 30
_END_SECONDS = 60
_TIDY_SECONDS = 5

_QEMU_CONF = """\
# a container has neither AppArmor nor cgroups of its own; the folder is private to root
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""
_LIBVIRTD_CONF = """\
unix_sock_dir = "{run}"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:stderr"
"""


@dataclass(frozen=True)
class Libvirtd:
    """A libvirtd that answers, with a pool of the test's own."""

    uri: str
    pool: str
    folder: Path
    logs: Path
    private: bool

    def needs_network(self) -> None:
        """Skip where a virtual network cannot be started: a sandbox without bridges or firewall."""
        error = self._network_problem()
        if error is not None:
            pytest.skip(f"virtual networks do not work here: {error}")

    def _network_problem(self) -> str | None:
        libvirt: Any = import_module("libvirt")
        connection = libvirt.open(self.uri)
        subnet = free_subnet()
        try:
            network = connection.networkCreateXML(
                f"<network><name>zave-try-{uuid.uuid4().hex[:8]}</name><forward mode='nat'/>"
                f"<bridge name='{free_bridge()}'/><ip address='{subnet}.1' netmask='255.255.255.0'>"
                f"<dhcp><range start='{subnet}.2' end='{subnet}.9'/></dhcp></ip></network>"
            )
            network.destroy()
        except libvirt.libvirtError as error:
            return str(error)
        finally:
            connection.close()
        return None


def free_subnet() -> str:
    """Three bytes of a /24 that is most likely nobody's: networks of several tests may stand at once."""
    return f"10.{random.randint(64, 254)}.{random.randint(1, 254)}"


def free_bridge() -> str:
    """A bridge of the test's own: libvirt's choice, virbrN, may be that of another libvirt's network."""
    return f"zave{uuid.uuid4().hex[:8]}"


@contextmanager
def libvirtd() -> Iterator[Libvirtd]:
    """A private libvirtd, or the system's; see the module. Skips where there is neither."""
    libvirt: Any = pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    # errors are raised as well; printed they would only clutter the test's output
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_path()) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (tests/system/packages.txt)")
    if os.geteuid() != 0:
        pytest.skip("only root may use or start a system libvirtd")
    # not the temporary folder of pytest: QEMU may run as another user and must reach it
    base = Path(tempfile.mkdtemp(prefix="zave-libvirtd-", dir="/var/tmp"))
    base.chmod(0o711)
    try:
        with _uri(libvirt, base) as uri, _pool(libvirt, uri, base) as host:
            yield host
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def _uri(libvirt: Any, base: Path) -> Iterator[str]:
    if _WISH != "system" and _may_start():
        with _started(base) as uri:
            yield uri
    elif _answers(libvirt, SYSTEM):
        yield SYSTEM
    else:
        pytest.skip("no libvirtd answers, and none can be started in namespaces of its own")


def _may_start() -> bool:
    """Whether the namespaces can be made: a plain container may not."""
    return (
        subprocess.run([*_NAMESPACES, "true"], check=False, capture_output=True, timeout=30).returncode == 0
    )


@contextmanager
def _pool(libvirt: Any, uri: str, base: Path) -> Iterator[Libvirtd]:
    folder, logs = base / "pool", base / "logs"
    for each in (folder, logs):
        each.mkdir()
        each.chmod(0o711)
    private = uri != SYSTEM
    name = "default" if private else f"zave-test-{uuid.uuid4().hex[:8]}"
    connection = libvirt.open(uri)
    try:
        pool = connection.storagePoolDefineXML(
            f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"
        )
        try:
            pool.create()
            yield Libvirtd(uri=uri, pool=name, folder=folder, logs=logs, private=private)
        finally:
            with suppress(libvirt.libvirtError):
                pool.destroy()
            with suppress(libvirt.libvirtError):
                pool.undefine()
    finally:
        connection.close()


@contextmanager
def _started(base: Path) -> Iterator[str]:
    """Start a private libvirtd; gives its URI. Everything it started is gone afterwards."""
    uri = f"{SYSTEM}?socket={base}/run-socket/libvirt-sock"
    log = base / "libvirtd.log"
    with log.open("wb") as output:
        # it lives as long as this pipe is open: the end of the test process ends it too
        child = subprocess.Popen(
            [*_NAMESPACES, sys.executable, "-I", __file__, str(base), uri],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={"PATH": _path(), "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
    try:
        _wait(child, uri, log)
        yield uri
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _wait(child: "subprocess.Popen[bytes]", uri: str, log: Path) -> None:
    libvirt: Any = import_module("libvirt")
    deadline = time.monotonic() + _READY_SECONDS
    while not _answers(libvirt, uri):
        if child.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            pytest.skip(f"a libvirtd cannot be started here: {said or 'it does not answer'}")
        time.sleep(0.1)


def _answers(libvirt: Any, uri: str) -> bool:
    try:
        libvirt.open(uri).close()
    except libvirt.libvirtError:
        return False
    return True


def _path() -> str:
    # libvirtd and dnsmasq are in sbin, which a user's PATH may lack
    return ":".join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


# inside the namespaces: this file is run as their first process


def _inside(base: Path, uri: str) -> None:
    for place in _PLACES:
        own = base / "places" / place.strip("/")
        own.mkdir(parents=True)
        own.chmod(0o711)
        Path(place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(own), place], check=True)
    # AppArmor's and nwfilter's own files are not needed; the folders that daemons expect are
    Path("/var/log/libvirt/qemu").mkdir()
    Path("/etc/libvirt/qemu.conf").write_text(_QEMU_CONF)
    socket_folder = base / "run-socket"
    socket_folder.mkdir()
    Path("/etc/libvirt/libvirtd.conf").write_text(_LIBVIRTD_CONF.format(run=socket_folder))
    daemons = [
        subprocess.Popen(["virtlogd", "--pid-file", "/run/libvirt/virtlogd.pid"], stdin=subprocess.DEVNULL),
        subprocess.Popen(
            ["libvirtd", "-f", "/etc/libvirt/libvirtd.conf", "--pid-file", "/run/libvirt/libvirtd.pid"],
            stdin=subprocess.DEVNULL,
        ),
    ]
    end = threading.Thread(target=_end_with_the_test, args=(base, uri, daemons), daemon=True)
    end.start()
    # the first process of the namespace inherits what daemons leave: uncollected, libvirt would take a
    # dead QEMU for one that resists being killed
    while True:
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)
            continue
        # nothing runs any more: the test is over and the thread tidies up, or the daemons could not start
        end.join(_TIDY_SECONDS)
        os._exit(0)


def _end_with_the_test(base: Path, uri: str, daemons: "list[subprocess.Popen[bytes]]") -> None:
    while os.read(0, 1024):
        pass
    # bridges and firewall rules are the machine's: libvirt takes them down with the networks
    for listing, end in (("list", "destroy"), ("net-list", "net-destroy")):
        names = _said(["virsh", "-c", uri, listing, "--name"])
        for name in filter(None, names.splitlines()):
            _said(["virsh", "-c", uri, end, name])
    for daemon in daemons:
        daemon.terminate()
    time.sleep(0.5)
    # the test does so as well, where it still can
    shutil.rmtree(base, ignore_errors=True)
    # with the first process the kernel ends all others of the namespace
    os._exit(0)


def _said(argv: list[str]) -> str:
    # through a file: the loop above may collect the child before this thread can, with its exit status
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output)
        with suppress(ChildProcessError):
            child.wait(20)
        output.seek(0)
        return output.read().decode(errors="replace")


if __name__ == "__main__":
    _inside(Path(sys.argv[1]), sys.argv[2])
