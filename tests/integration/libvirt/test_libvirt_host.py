"""The adapter against a real libvirtd with real, emulated machines."""

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from tests.integration.libvirt.conftest import Boot, Lab, make_volume
from tests.integration.libvirt.tiny_guest import GREETING, LEASED, TICK
from tests.system.libvirtd import free_bridge
from zave.clock import SystemClock
from zave.errors import StepFailedError
from zave.hypervisor.host import LibvirtHypervisor
from zave.lifecycle.inventory import delete_all, recorded, sweep
from zave.ports import Item
from zave.state.directory import StateDirectory
from zave.state.records import InstanceRecord, ResourceRecord
from zave.state.store import StateStore

pytestmark = pytest.mark.machine

_BOOT_SECONDS = 120.0


def _read(hypervisor: LibvirtHypervisor, name: str, *, until: str) -> str:
    """The console of `name` as far as `until`."""
    text = ""
    for chunk in hypervisor.console(name, seconds=_BOOT_SECONDS):
        text += chunk.decode()
        if until in text:
            return text
    raise AssertionError(f"the console of {name} says no {until!r}: {text[-500:]}")


def _item(hypervisor: LibvirtHypervisor, kind: str, name: str) -> Item | None:
    return next((i for i in hypervisor.items() if (i.type, i.name) == (kind, name)), None)


def _named(items: list[Item], text: str) -> list[tuple[str, str]]:
    return [(i.type, i.name) for i in items if text in i.name]


def _eventually(condition: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.1)
    return True


def test_machine_shows_its_state_its_lease_and_its_console(
    lab: Lab, hypervisor: LibvirtHypervisor, boot: Boot
) -> None:
    domain = boot("zave-home-web", log=f"{lab.host.logs}/zave-home-web.log")
    text = _read(hypervisor, "zave-home-web", until=TICK)
    address = text.split(LEASED)[1].split()[0]
    assert address.startswith(f"{lab.network.subnet}.")
    item = _item(hypervisor, "libvirt_domain", "zave-home-web")
    assert item == Item(
        type="libvirt_domain",
        id=domain.UUIDString(),
        name="zave-home-web",
        attributes={"address": address, "memory": str(192 << 20), "vcpu": "1", "running": "yes"},
    )
    # somebody switches it off; whoever starts it again need not be Terraform
    domain.destroy()
    item = _item(hypervisor, "libvirt_domain", "zave-home-web")
    assert item is not None
    assert (item.state, item.attributes["running"]) == ("shut off", "no")
    assert "address" not in item.attributes
    with pytest.raises(StepFailedError, match="zave-home-web is off") as caught:
        hypervisor.console("zave-home-web", seconds=1)
    # why it went off often stands at the end of what it wrote
    assert TICK in (caught.value.details or "")
    hypervisor.start("zave-home-web")
    hypervisor.start("zave-home-web")
    domain.suspend()
    assert getattr(_item(hypervisor, "libvirt_domain", "zave-home-web"), "state", None) == "paused"
    hypervisor.start("zave-home-web")
    assert getattr(_item(hypervisor, "libvirt_domain", "zave-home-web"), "state", None) == "present"


@pytest.fixture(params=["readable", "through libvirtd"])
def log(request: pytest.FixtureRequest, lab: Lab) -> str:
    """Where a console is kept: in a folder that can be read here, or in one that only libvirtd sees."""
    if request.param == "readable":
        return f"{lab.host.logs}/zave-talk-console.log"
    if not lab.host.private:
        pytest.skip("root can read every log of the system's own libvirtd")
    return "/var/log/libvirt/qemu/zave-talk-console.log"


def test_console_gives_what_was_kept_and_goes_on_without_a_gap(
    lab: Lab, hypervisor: LibvirtHypervisor, boot: Boot, log: str
) -> None:
    boot("zave-talk", log=log)
    first = _read(hypervisor, "zave-talk", until=f"{TICK}1\r\n")
    # nobody listened since the start: all of it was kept
    assert first.index(GREETING) < first.index(LEASED) < first.index(TICK)
    second = _read(hypervisor, "zave-talk", until=f"{TICK}4\r\n")
    assert second.startswith(first)
    told = [line for line in second.splitlines() if line.startswith(TICK)]
    assert told[:5] == [f"{TICK}{number}" for number in range(5)]
    assert b"".join(hypervisor.console("zave-talk", seconds=0)).decode().startswith(second)
    # reading leaves no pool behind, and none was ever shown
    assert [pool.name() for pool in lab.virt.listAllStoragePools()] == [lab.host.pool]


def test_console_without_a_log_is_attached_and_shared_with_nobody(
    lab: Lab, hypervisor: LibvirtHypervisor, boot: Boot
) -> None:
    boot("zave-silent")
    assert TICK in _read(hypervisor, "zave-silent", until=TICK)
    stream = lab.virt.newStream(0)
    assert _eventually(lambda: _attached(lab, "zave-silent", stream))
    with pytest.raises(StepFailedError, match="cannot be attached") as caught:
        hypervisor.console("zave-silent", seconds=1)
    assert "virsh console" in (caught.value.resolution or "")
    stream.abort()


def _attached(lab: Lab, name: str, stream: Any) -> bool:
    """Whether `stream` is the console now; the reader before lets go a moment after it stopped."""
    import libvirt

    try:
        lab.virt.lookupByName(name).openConsole(None, stream, 0)
    except libvirt.libvirtError:
        return False
    return True


def test_console_ends_with_the_machine(lab: Lab, hypervisor: LibvirtHypervisor, boot: Boot) -> None:
    domain = boot("zave-short", log=f"{lab.host.logs}/zave-short.log")
    _read(hypervisor, "zave-short", until=GREETING)
    chunks = hypervisor.console("zave-short", seconds=3600)
    told = next(chunks)
    domain.destroy()
    # an hour has not passed: it ended with the machine
    assert GREETING.encode() in b"".join([told, *chunks])


def test_files_that_come_and_go_behind_libvirts_back_are_seen(
    lab: Lab, hypervisor: LibvirtHypervisor
) -> None:
    stray = lab.host.folder / "stray.raw"
    stray.write_bytes(b"x" * 1024)
    item = _item(hypervisor, "libvirt_volume", "stray.raw")
    assert item is not None
    assert (item.id, item.attributes["pool"]) == (str(stray), lab.host.pool)
    stray.unlink()
    assert _item(hypervisor, "libvirt_volume", "stray.raw") is None


@pytest.mark.parametrize("name", [b"\xff\xfe.raw", b"two\nlines.raw", b"\x1b]0;title\x07.raw"])
def test_files_with_impossible_names_spoil_nothing(
    lab: Lab, hypervisor: LibvirtHypervisor, name: bytes
) -> None:
    before = hypervisor.items()
    stray = os.path.join(os.fsencode(lab.host.folder), name)  # noqa: PTH118
    with open(stray, "wb") as file:  # noqa: PTH123
        file.write(b"x")
    try:
        assert [item for item in hypervisor.items() if "\n" not in item.name] == before
    finally:
        os.unlink(stray)  # noqa: PTH108


def test_folders_in_a_pool_are_nobodys_volumes(lab: Lab, hypervisor: LibvirtHypervisor) -> None:
    before = hypervisor.items()
    (lab.host.folder / "zave-folder").mkdir()
    assert hypervisor.items() == before
    (lab.host.folder / "zave-folder").rmdir()


def test_capacity_is_that_of_this_machine(lab: Lab, hypervisor: LibvirtHypervisor) -> None:
    capacity = hypervisor.capacity(pool=lab.host.pool)
    available = int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) * 1024
    assert 0.5 * available < capacity.memory_free < 1.5 * available
    assert capacity.cores == lab.virt.getInfo()[2]
    free = lab.virt.storagePoolLookupByName(lab.host.pool).info()[3]
    assert abs(capacity.pool_free - free) < 1 << 30
    assert hypervisor.capacity(pool=lab.host.pool).acceleration == capacity.acceleration


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    directory = StateDirectory.locate({"ZAVE_STATE_DIR": str(tmp_path / "state")}, rehearsal=False)
    directory.prepare()
    store = StateStore.open(directory, clock=SystemClock())
    yield store
    store.close()


def test_sweep_finds_what_was_left_and_deletion_spares_the_neighbours(
    lab: Lab, hypervisor: LibvirtHypervisor, boot: Boot, store: StateStore
) -> None:
    boot("zave-home-node", log=f"{lab.host.logs}/zave-home-node.log")
    neighbour = boot("home-node", mac="52:54:00:5a:00:02")
    make_volume(lab, "not-zave-home-node.qcow2")
    ours = [
        ("libvirt_volume", "zave-home-node.qcow2"),
        ("libvirt_volume", "zave-home-node-seed.iso"),
        ("libvirt_domain", "zave-home-node"),
    ]
    _record(store, ours)
    try:
        found = sweep(store, hypervisor.items(), [], instance="home")
        assert sorted((i.type, i.name) for i in found.expected) == sorted(ours)
        assert found.leaks == ()
        # the record is all that a sweep of the home lab needs; the machine runs while it is deleted
        items = [item for _, item in recorded(store.resources("home"), hypervisor.items())]
        assert delete_all(items, hypervisor) == []
        left = hypervisor.items()
        assert _named(list(left), "zave-home-node") == [("libvirt_volume", "not-zave-home-node.qcow2")]
        assert neighbour.isActive()
        assert {"home-node.qcow2", "home-node-seed.iso"} <= {item.name for item in left}
        # once more is fine: they are gone
        assert delete_all(items, hypervisor) == []
    finally:
        lab.virt.storageVolLookupByPath(f"{lab.host.folder}/not-zave-home-node.qcow2").delete(0)


def _record(store: StateStore, names: list[tuple[str, str]]) -> None:
    store.save_instance(InstanceRecord("home", "homelab", "libvirt-k3s", "ready", SystemClock().now()))
    run = store.begin_run(instance="home", command="up", arguments=[])
    resources = [ResourceRecord(f"{kind}.{name}", kind, name, state="present") for kind, name in names]
    store.intend_resources("home", resources, run.id)
    store.mark_resources("home", resources)


def test_networks_and_pools_are_deleted_without_their_contents(
    lab: Lab, hypervisor: LibvirtHypervisor
) -> None:
    folder = lab.host.folder.parent / "other-pool"
    folder.mkdir()
    (folder / "precious").write_text("somebody's")
    pool = lab.virt.storagePoolDefineXML(
        f"<pool type='dir'><name>zave-extra</name><target><path>{folder}</path></target></pool>"
    )
    pool.create()
    lab.virt.networkDefineXML(
        f"<network><name>zave-extra</name><bridge name='{free_bridge()}'/></network>"
    ).create()
    extras = [item for item in hypervisor.items() if item.name == "zave-extra"]
    assert sorted(item.type for item in extras) == ["libvirt_network", "libvirt_pool"]
    for item in extras:
        hypervisor.delete(item)
        hypervisor.delete(item)
    assert [item for item in hypervisor.items() if item.name == "zave-extra"] == []
    assert (folder / "precious").read_text() == "somebody's"
    assert lab.virt.networkLookupByName(lab.network.name).isActive()


def test_firmware_variables_of_a_machine_go_with_it(lab: Lab, hypervisor: LibvirtHypervisor) -> None:
    code, variables = lab.host.logs / "code.fd", lab.host.logs / "zave-uefi.fd"
    for each in (code, variables):
        each.write_bytes(b"x")
    lab.virt.defineXML(
        "<domain type='qemu'><name>zave-uefi</name><memory unit='MiB'>64</memory><os>"
        "<type arch='x86_64' machine='q35'>hvm</type>"
        f"<loader readonly='yes' type='pflash'>{code}</loader><nvram>{variables}</nvram></os>"
        "<features><acpi/></features></domain>"
    )
    item = _item(hypervisor, "libvirt_domain", "zave-uefi")
    assert item is not None
    hypervisor.delete(item)
    assert _item(hypervisor, "libvirt_domain", "zave-uefi") is None
    assert not variables.exists()
    assert code.exists()


def test_refusal_says_what_libvirt_said_and_what_to_do(lab: Lab, hypervisor: LibvirtHypervisor) -> None:
    make_volume(lab, "zave-stuck.raw", kind="raw")
    item = _item(hypervisor, "libvirt_volume", "zave-stuck.raw")
    assert item is not None
    stuck = lab.host.folder / "zave-stuck.raw"
    stuck.unlink()
    # libvirt still thinks that it is a file
    (stuck / "inside").mkdir(parents=True)
    try:
        with pytest.raises(
            StepFailedError, match=r"refused to delete libvirt_volume zave-stuck.raw"
        ) as caught:
            hypervisor.delete(item)
    finally:
        (stuck / "inside").rmdir()
        stuck.rmdir()
    assert "directory" in (caught.value.details or "").lower()
    assert "vol-delete --pool" in (caught.value.resolution or "")
    assert delete_all([item], hypervisor) == []


@pytest.mark.parametrize("name", ["zave-plain", "--help", "zave; id", "it's $HOME"])
def test_the_command_lines_for_people_delete(lab: Lab, hypervisor: LibvirtHypervisor, name: str) -> None:
    folder = lab.host.folder.parent / uuid.uuid4().hex
    folder.mkdir()
    shown = escape(name)
    lab.virt.defineXML(
        f"<domain type='qemu'><name>{shown}</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
    lab.virt.networkDefineXML(
        f"<network><name>{shown}</name><bridge name='{free_bridge()}'/></network>"
    ).create()
    pool = lab.virt.storagePoolDefineXML(
        f"<pool type='dir'><name>{shown}</name><target><path>{folder}</path></target></pool>"
    )
    pool.create()
    pool.createXML(f"<volume><name>{shown}</name><capacity>1024</capacity></volume>")
    items = [item for item in hypervisor.items() if item.name == name]
    assert len(items) == 4
    # a volume before the pool that it is in
    for item in reversed(items):
        subprocess.run(["bash", "-c", hypervisor.how_to_delete(item)], capture_output=True, check=True)
    assert [item for item in hypervisor.items() if item.name == name] == []
    assert list(folder.iterdir()) == []
