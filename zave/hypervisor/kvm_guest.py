"""A program of its own: runs a few instructions in a KVM guest, and exits with 0 when they were fast.

    python -I -S kvm_guest.py

That /dev/kvm can be opened says little. Where KVM is not backed by the processor (nested under a hypervisor
that passes no virtualisation on; tried with kvm_pvm, Linux 6.18, 2026-11-23) it makes machines and processors
and even runs a BIOS, but emulates the kernel mode of a guest, an instruction a microsecond: Linux never comes
up. So a guest in 64-bit kernel mode counts five million down: 2 ms on a processor, 6 s under emulation. Past
its processor time SIGPROF ends this program, so a busy machine is not taken for a broken one. A KVM that
hangs is for the caller's time limit.

Exit codes: 0 it works, 1 it does not, 2 it cannot be told (no permission, not x86-64). The numbers are those
of linux/kvm.h on x86-64.
"""

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import struct
import sys

WORKS, BROKEN, UNKNOWN = 0, 1, 2

_CPU_SECONDS = 0.5
_COUNT = 5_000_000

_CREATE_VM = 0xAE01
_GET_VCPU_MMAP_SIZE = 0xAE04
_CREATE_VCPU = 0xAE41
_RUN = 0xAE80
_SET_USER_MEMORY_REGION = 0x4020AE46
_SET_REGS = 0x4090AE82
_GET_SREGS = 0x8138AE83
_SET_SREGS = 0x4138AE84
_EXIT_IO, _EXIT_HLT = 2, 5

# where things are in the guest's 24 KiB
_LEVEL4, _LEVEL3, _LEVEL2, _CODE = 0x1000, 0x2000, 0x3000, 0x5000
_SIZE = 0x6000
# mov ecx, _COUNT; dec ecx; jnz -4; out 0x10, al; hlt
_PROGRAM = b"\xb9" + struct.pack("<I", _COUNT) + b"\xff\xc9\x75\xfc\xe6\x10\xf4"


def main() -> int:
    """The exit code."""
    if platform.machine() != "x86_64":
        return UNKNOWN
    signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        return UNKNOWN
    except OSError:
        return BROKEN
    try:
        return WORKS if _counts(kvm) else BROKEN
    except OSError:
        return BROKEN


def _counts(kvm: int) -> bool:
    machine = fcntl.ioctl(kvm, _CREATE_VM, 0)
    memory = mmap.mmap(-1, _SIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, _SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, 0, _SIZE, address))
    # the lowest 2 MiB, mapped to themselves
    struct.pack_into("=Q", memory, _LEVEL4, _LEVEL3 | 0b11)
    struct.pack_into("=Q", memory, _LEVEL3, _LEVEL2 | 0b11)
    struct.pack_into("=Q", memory, _LEVEL2, 0b10000011)
    memory[_CODE : _CODE + len(_PROGRAM)] = _PROGRAM
    processor = fcntl.ioctl(machine, _CREATE_VCPU, 0)
    state = mmap.mmap(processor, fcntl.ioctl(kvm, _GET_VCPU_MMAP_SIZE))
    _enter_long_mode(processor)
    for expected in (_EXIT_IO, _EXIT_HLT):
        fcntl.ioctl(processor, _RUN, 0)
        (reason,) = struct.unpack_from("=I", state, 8)
        if reason != expected:
            return False
    return True


def _enter_long_mode(processor: int) -> None:
    registers = bytearray(144)
    # rip and rflags, the last of eighteen
    struct.pack_into("=QQ", registers, 16 * 8, _CODE, 2)
    fcntl.ioctl(processor, _SET_REGS, bytes(registers))
    special = bytearray(312)
    fcntl.ioctl(processor, _GET_SREGS, special)
    # struct kvm_segment: base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding
    code = (0, 0xFFFFFFFF, 8, 11, 1, 0, 0, 1, 1, 1, 0, 0, 0)
    data = (0, 0xFFFFFFFF, 16, 3, 1, 0, 1, 1, 0, 1, 0, 0, 0)
    for number, segment in enumerate((code, data, data, data, data, data)):
        struct.pack_into("=QIH10B", special, 24 * number, *segment)
    control = 24 * 8 + 16 * 2
    cr0, cr2, cr3, cr4, cr8, efer = 0x80050033, 0, _LEVEL4, 0x20, 0, 0x500
    struct.pack_into("=6Q", special, control, cr0, cr2, cr3, cr4, cr8, efer)
    fcntl.ioctl(processor, _SET_SREGS, bytes(special))


if __name__ == "__main__":
    sys.exit(main())
