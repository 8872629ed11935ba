"""Whether KVM on this machine runs guests, tried with a tiny one in a child process."""

import sys
import tempfile
from pathlib import Path

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
