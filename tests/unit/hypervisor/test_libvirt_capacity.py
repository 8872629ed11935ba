from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.hypervisor.conftest import GIB, Host, pool
from zave.errors import PreconditionError
from zave.hypervisor import kvm_guest
from zave.hypervisor.kvm import accelerator, kvm_works
from zave.ports import Outcome, Request
from zave.process import ProcessRunner


def test_capacity_is_told_by_libvirt(host: Host) -> None:
    node = "<cpu><num>4</num><socket>2</socket><cores>2</cores><threads>1</threads><active>4</active></cpu>"
    hypervisor = host(node, "<memory>8388608</memory>", pool("default", 1, "disk"))
    capacity = hypervisor.capacity(pool="default")
    assert capacity.cores == 4
    # the simulator's pools have 100 GiB
    assert capacity.pool_free == 99 * GIB
    # it has no KVM, whatever this machine has
    assert capacity.acceleration == "qemu"


def test_pool_that_is_not_there_is_named_with_those_that_are(host: Host) -> None:
    hypervisor = host(pool("images", 1), pool("scratch", 2))
    with pytest.raises(PreconditionError, match="there is no storage pool default") as caught:
        hypervisor.capacity(pool="default")
    assert caught.value.details == "storage pools there: images, scratch"
    assert "pool-define-as --name default --type dir" in (caught.value.resolution or "")
    assert "pool-start --pool default" in (caught.value.resolution or "")


def test_pool_that_is_off_is_to_be_started(host: Host) -> None:
    hypervisor = host(pool("a pool", 1))
    hypervisor._connection.use().storagePoolLookupByName("a pool").destroy()
    with pytest.raises(PreconditionError, match="a pool is not active") as caught:
        hypervisor.capacity(pool="a pool")
    assert "pool-start --pool 'a pool'" in (caught.value.resolution or "")


@dataclass
class Child:
    """A runner whose child ended in a given way."""

    outcome: Outcome
    requests: list[Request] = field(default_factory=list)

    def run(self, request: Request, *, on_line: object = None) -> Outcome:
        self.requests.append(request)
        return self.outcome


@pytest.mark.parametrize(
    ("exit_code", "timed_out", "works"),
    [
        (kvm_guest.WORKS, False, True),
        (kvm_guest.BROKEN, False, False),
        # SIGPROF: the guest crawls, its kernel is emulated
        (-27, False, False),
        # it hangs and was killed, whatever it would have said
        (-9, True, False),
        (kvm_guest.UNKNOWN, True, False),
    ],
)
def test_kvm_works_when_a_guest_ran_fast(exit_code: int, timed_out: bool, works: bool) -> None:
    child = Child(Outcome(exit_code, 0.1, 0, timed_out=timed_out))
    assert kvm_works(child) is works
    # a KVM that hangs must not hang zave
    assert child.requests[0].timeout is not None


@pytest.mark.parametrize(
    ("flags", "works"), [("fpu vmx sse", None), ("fpu svm sse", None), ("fpu hypervisor sse", False)]
)
def test_who_may_not_open_kvm_asks_the_processor(tmp_path: Path, flags: str, works: bool | None) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert kvm_works(Child(Outcome(kvm_guest.UNKNOWN, 0.1, 0)), cpuinfo=cpuinfo) is works


@pytest.mark.parametrize(
    ("exit_code", "flags", "uses", "told"),
    [
        (kvm_guest.WORKS, "vmx", "kvm", ""),
        (kvm_guest.UNKNOWN, "vmx", "tcg", "you may not open /dev/kvm; `sudo adduser $USER kvm`, then log in"),
        (kvm_guest.UNKNOWN, "sse", "tcg", "this machine has none that works"),
        (kvm_guest.BROKEN, "vmx", "tcg", "this machine has none that works"),
    ],
)
def test_a_build_without_kvm_is_told_and_why(
    tmp_path: Path, exit_code: int, flags: str, uses: str, told: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags\t\t: fpu {flags}\n")
    said: list[str] = []
    child = Child(Outcome(exit_code, 0.1, 0))
    assert accelerator(child, say=lambda text, _: said.append(text), cpuinfo=cpuinfo) == uses
    if told:
        [line] = said
        assert line.startswith(f"building without KVM, many times slower: {told}")
    else:
        assert said == []


def test_kvm_is_tried_for_real() -> None:
    works = kvm_works(ProcessRunner())
    flags = Path("/proc/cpuinfo").read_text().split()
    if works is None:
        pytest.skip("this user may not open /dev/kvm")
    if "vmx" not in flags and "svm" not in flags:
        # whatever /dev/kvm says of itself
        assert works is False
