"""Whether KVM on this machine runs guests, tried with a tiny one in a child process."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from zave.hypervisor import kvm_guest
from zave.ports import Request, Runner

# the child ends itself after half a second of processor time: this is for a KVM that hangs
_SECONDS = 10.0
_GRACE = 0.5
_CPUINFO = Path("/proc/cpuinfo")


def kvm_works(runner: Runner, *, cpuinfo: Path = _CPUINFO) -> bool | None:
    """True or False; None where it cannot be told, as this user may not open /dev/kvm."""
    with tempfile.TemporaryDirectory(prefix="zave-kvm-") as folder:
        outcome = runner.run(
            Request(
                (sys.executable, "-I", "-S", kvm_guest.__file__),
                cwd=Path(folder),
                log=Path(folder) / "kvm.log",
                timeout=_SECONDS,
                interrupt_grace=_GRACE,
            )
        )
    if outcome.exit_code == kvm_guest.UNKNOWN and not outcome.timed_out:
        # without the processor's help there is none to be had; with it there may be
        return None if _virtualises(cpuinfo) else False
    return outcome.exit_code == kvm_guest.WORKS and not outcome.timed_out


def _virtualises(cpuinfo: Path) -> bool:
    try:
        words = cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return True
    return not {"vmx", "svm"}.isdisjoint(words)


def accelerator(
    runner: Runner, *, say: Callable[[str, float | None], None], cpuinfo: Path = _CPUINFO
) -> Literal["kvm", "tcg"]:
    """What a QEMU of this user's can use on this machine; where it is not KVM, `say` tells why."""
    works = kvm_works(runner, cpuinfo=cpuinfo)
    if works:
        return "kvm"
    # what this user may not open a QEMU of this user's could not open either
    not_allowed = "you may not open /dev/kvm; `sudo adduser $USER kvm`, then log in again"
    why = not_allowed if works is None else "this machine has none that works"
    say(f"building without KVM, many times slower: {why}", None)
    return "tcg"
