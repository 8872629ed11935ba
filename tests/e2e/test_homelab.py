"""`make e2e-homelab`: a home lab on real tools, from nothing to nothing, as a user sees it."""

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.homelab.driver import ENVIRONMENT, Driver, Ended, new_driver
from tests.e2e.homelab.host import LabHost

pytestmark = pytest.mark.machine

SERVER = "e2e-control-plane-1"
JOINS = "/var/lib/rancher/k3s/server/joins.jsonl"
# built images outlive the tests: a build without KVM takes minutes, and zave knows whether one is current
BUILT = Path(__file__).parents[2] / ".cache/e2e-homelab/images"

Phase = Callable[[str], AbstractContextManager[list[str]]]


@pytest.fixture
def lab(host: LabHost, mirror: Path, tmp_path: Path) -> Iterator[Driver]:
    """A project with nothing up; what a failed test leaves on the host goes."""
    driver = new_driver(host, tmp_path, mirror)
    yield driver
    driver.zave("down", ENVIRONMENT, "--yes")


@pytest.fixture
def phase(request: pytest.FixtureRequest) -> Phase:
    """Times a part of a test, and says so as it ends, with what the body has to add."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    captured = request.config.pluginmanager.get_plugin("capturemanager")

    @contextmanager
    def timed(name: str) -> Iterator[list[str]]:
        started = time.monotonic()
        more: list[str] = []
        yield more
        if reporter is not None and captured is not None:
            told = [f"{time.monotonic() - started:.0f} s", *more]
            with captured.global_and_fixture_disabled():
                reporter.write_line(f"e2e-homelab: {name}: {'; '.join(told)}")

    return timed


# the whole life


def test_a_home_lab_lives_on_real_tools(lab: Driver, debian: Path, phase: Phase) -> None:
    before = lab.host.inventory()
    with phase("image: Debian, hardened by Packer"), kept_images(lab):
        built = lab.zave("build-image", "k3s-base", "--base", "debian-12", "--source", str(debian))
        assert built.code == 0, built.said

    with phase("up, killed when the first machine is there"), lab.killed("up", ENVIRONMENT, "--yes") as zave:
        wait_for(lambda: bool(lab.host.inventory()["domains"]), alive=zave)

    with phase("up again: three machines") as more:
        up = lab.zave("up", ENVIRONMENT, "--yes")
        assert up.code == 0, up.said
        more.append(steps_of(up))
    the_machines_are_what_they_should_be(lab)
    the_servers_record_is_right(lab)
    the_kubeconfig_is_the_users_alone(lab)

    with phase("up once more: nothing to do"):
        running = numbers(lab)
        again = lab.zave("up", ENVIRONMENT, "--yes")
        assert again.code == 0, again.said
        assert numbers(lab) == running
        assert again.of("resource") == []

    with phase("a machine stopped by somebody else is drift, and healed"):
        lab.host.virsh("destroy", "zave-e2e-worker-2")
        assert lab.zave("drift", ENVIRONMENT).code == 3
        healed = lab.zave("up", ENVIRONMENT, "--yes")
        assert healed.code == 0, healed.said
        assert set(numbers(lab)) == {f"zave-{name}" for name in lab.addresses}
        assert lab.zave("drift", ENVIRONMENT).code == 0

    with phase("down"):
        down = lab.zave("down", ENVIRONMENT, "--yes")
        assert down.code == 0, down.said
    receipt = down.of("receipt")[-1]["receipt"]
    assert receipt["leaks"] == []
    assert any("libvirt" in source for source in receipt["inventory_sources"])
    assert lab.host.inventory() == before

    lab.write(workers=0)
    with phase("up: one machine") as more:
        up = lab.zave("up", ENVIRONMENT, "--yes")
        assert up.code == 0, up.said
        more.append(steps_of(up))
    assert lab.zave("down", ENVIRONMENT, "--yes").code == 0
    assert lab.host.inventory() == before


def steps_of(ended: Ended) -> str:
    """How long each step took."""
    return ", ".join(f"{event['step']} {event['seconds']:.0f} s" for event in ended.of("step.finished"))


@contextmanager
def kept_images(lab: Driver) -> Iterator[None]:
    """The images of an earlier run, if there are any; what is built is kept for the next."""
    own = lab.state / "images/built"
    if BUILT.is_dir():
        own.parent.mkdir(mode=0o700, exist_ok=True)
        copy(BUILT, own)
    yield
    if own.is_dir():
        BUILT.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(BUILT, ignore_errors=True)
        copy(own, BUILT)


def copy(source: Path, destination: Path) -> None:
    argv = ["cp", "-a", "--reflink=auto", str(source), str(destination)]
    subprocess.run(argv, check=True, timeout=600)


def wait_for(done: Callable[[], bool], *, alive: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 600
    while not done():
        assert alive.poll() is None, "zave ended before it could be killed"
        assert time.monotonic() < deadline


def numbers(lab: Driver) -> dict[str, str]:
    """libvirt's number of each machine that runs: another one after each start."""
    return {name: lab.host.virsh("domid", name).strip() for name in lab.host.virsh("list", "--name").split()}


def the_machines_are_what_they_should_be(lab: Driver) -> None:
    for node, address in lab.addresses.items():
        result = json.loads(lab.on(node, "cat", "/run/cloud-init/result.json"))["v1"]
        assert result["errors"] == []
        assert result["datasource"].startswith("DataSourceNoCloud")
        assert "status: done" in lab.on(node, "cloud-init", "status")
        assert address in lab.on(node, "hostname", "-I").split()
        assert lab.on(node, "systemctl", "is-active", "k3s").strip() == "active"


def the_servers_record_is_right(lab: Driver) -> None:
    """Each machine told the server what it was configured with, from its own address, as who it is."""
    told = [json.loads(line) for line in lab.on(SERVER, "sudo", "cat", JOINS).splitlines()]
    last = {record["name"]: record for record in told}
    assert set(last) == set(lab.addresses)
    for node, record in last.items():
        server = node == SERVER
        config = lab.on(node, "sudo", "cat", "/etc/rancher/k3s/config.yaml")
        assert record["config_sha256"] == hashlib.sha256(config.encode()).hexdigest()
        assert record["boot"] == lab.on(node, "cat", "/proc/sys/kernel/random/boot_id").strip()
        assert record["config"]["protect-kernel-defaults"] is True
        assert (record["role"], record["user"]) == (("server", "server") if server else ("agent", "node"))
        assert record["peer"] == ("127.0.0.1" if server else lab.addresses[node])
        if not server:
            assert record["config"]["server"] == f"https://{lab.addresses[SERVER]}:6443"
            assert lab.on(node, "sudo", "cat", "/etc/rancher/k3s/token").startswith("K10")


def the_kubeconfig_is_the_users_alone(lab: Driver) -> None:
    assert lab.kubeconfig.stat().st_mode & 0o777 == 0o600
    assert f"https://{lab.addresses[SERVER]}:6443" in lab.kubeconfig.read_text()


# bad luck that needs a real host; the machines boot a tiny system, or none


@pytest.fixture
def small(lab: Driver, tiny: Path) -> Driver:
    """A lab of one machine on the tiny image, which zave takes for a vendor's."""
    lab.adopt("debian-12", tiny)
    lab.write(workers=0, image={"source": "cloud", "base": "debian-12"})
    return lab


def test_a_domain_of_somebody_else_with_the_same_name_is_left_alone(small: Driver, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.xml"
    stranger.write_text(
        "<domain type='qemu'><name>zave-e2e-control-plane-1</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"
    )
    small.host.virsh("define", str(stranger))
    uuid = small.host.virsh("domuuid", "zave-e2e-control-plane-1")
    try:
        up = small.zave("up", ENVIRONMENT, "--yes")
        assert up.code == 5, up.said
        assert "libvirt_domain zave-e2e-control-plane-1 exists already" in up.said
        assert small.zave("down", ENVIRONMENT, "--yes").code == 0
        assert small.host.virsh("domuuid", "zave-e2e-control-plane-1") == uuid
    finally:
        small.host.virsh("undefine", "zave-e2e-control-plane-1")
    assert small.host.inventory()["domains"] == set()


def test_a_pool_without_room_is_refused_before_anything_is_made(small: Driver, tmp_path: Path) -> None:
    folder = tmp_path / "small-pool"
    folder.mkdir()
    small.host.mounts("mount", "-t", "tmpfs", "-o", "size=64m", "zave-e2e", str(folder))
    small.host.virsh("pool-define-as", "e2e-small", "dir", "--target", str(folder))
    small.host.virsh("pool-start", "e2e-small")
    before = small.host.inventory()
    try:
        small.write(
            workers=0,
            image={"source": "cloud", "base": "debian-12"},
            libvirt=small.libvirt("e2e-small"),
        )
        up = small.zave("up", ENVIRONMENT, "--yes")
        assert up.code == 5, up.said
        assert "e2e-small" in up.said
        assert small.host.inventory() == before
        assert small.zave("down", ENVIRONMENT, "--yes").code == 0
    finally:
        small.host.virsh("pool-destroy", "e2e-small")
        small.host.virsh("pool-undefine", "e2e-small")
        small.host.mounts("umount", str(folder))


def test_without_libvirtd_up_says_how_to_start_it(small: Driver) -> None:
    if not small.host.namespace or Path("/run/libvirt/libvirt-sock").exists():
        pytest.skip("a libvirtd of this machine's own answers")
    nowhere = LabHost(small.host.uri, small.host.pool, small.host.folder, ())
    up = small.zave("up", ENVIRONMENT, "--yes", at=nowhere)
    assert up.code == 5, up.said
    assert "libvirtd" in up.said
    assert "qemu:///system" in up.said


def test_a_machine_that_never_gets_a_lease_ends_in_an_error_and_down_works(
    small: Driver, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(empty), "1G"], check=True, timeout=60)
    small.adopt("debian-12", empty)
    before = small.host.inventory()
    up = small.zave("up", ENVIRONMENT, "--yes", "--step-timeout", "60s")
    assert up.code == 1, up.said
    # it was on the machine that Terraform waited for
    assert any(event["address"].endswith("libvirt_domain.this") for event in up.of("resource"))
    assert small.host.inventory()["volumes"] > before["volumes"]
    down = small.zave("down", ENVIRONMENT, "--yes")
    assert down.code == 0, down.said
    assert small.host.inventory() == before
