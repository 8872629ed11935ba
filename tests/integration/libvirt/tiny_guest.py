"""A guest that boots in seconds, also without KVM: Debian's cloud kernel and an initramfs with busybox.

It loads its drivers, asks for an address, and says on its serial console what it got; then it counts.
"""

import gzip
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

GREETING = "zave-test: hello"
LEASED = "zave-test: leased "
TICK = "zave-test: tick "

_CACHE = Path(__file__).parents[3] / ".cache" / "tiny-guest"
_KERNEL = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_net", "virtio_blk")
_INIT = f"""\
#!/bin/busybox sh
bb=/bin/busybox
$bb mkdir -p /proc /dev
$bb mount -t devtmpfs none /dev
$bb mount -t proc none /proc
while read -r module; do $bb insmod /modules/$module.ko; done < /modules/order
$bb echo '{GREETING}'
$bb ip link set eth0 up
$bb udhcpc -i eth0 -n -q -t 10 -T 1 -s /leased
number=0
while :; do
  $bb echo "{TICK}$number"
  number=$((number + 1))
  $bb sleep 1
done
"""
_LEASED = f"""\
#!/bin/busybox sh
[ "$1" = bound ] && /bin/busybox ip addr add "$ip/24" dev eth0 && /bin/busybox echo "{LEASED}$ip"
exit 0
"""


@dataclass(frozen=True)
class TinyGuest:
    """The two files that QEMU boots directly."""

    kernel: Path
    initrd: Path


def tiny_guest(folder: Path) -> TinyGuest:
    """Put the guest's files into `folder`; made once. Skips where Debian's packages cannot be had."""
    if not (_CACHE / "initrd").is_file():
        _make()
    for name in ("kernel", "initrd"):
        shutil.copy(_CACHE / name, folder / name)
    return TinyGuest(folder / "kernel", folder / "initrd")


def _make() -> None:
    _CACHE.mkdir(parents=True, exist_ok=True)
    # beside the place where it ends, so that it can be renamed: two tests may make it at once
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        folder = Path(name)
        _unpack(folder, "busybox-static", _newest_kernel())
        (kernel,) = folder.glob("tree/boot/vmlinuz-*")
        kernel.rename(folder / "kernel")
        (folder / "initrd").write_bytes(gzip.compress(_archive(_files(folder / "tree")), 1))
        (folder / "kernel").replace(_CACHE / "kernel")
        (folder / "initrd").replace(_CACHE / "initrd")


def _newest_kernel() -> str:
    if shutil.which("apt-cache") is None:
        pytest.skip("not a Debian system: no packages to make a small guest of")
    told = subprocess.run(["apt-cache", "depends", _KERNEL], capture_output=True, text=True, check=False)
    found = re.search(r"Depends: (linux-image-\S+)", told.stdout)
    if found is None:
        pytest.skip(f"apt knows no {_KERNEL}; apt-get update")
    return found[1]


def _unpack(folder: Path, *packages: str) -> None:
    loaded = subprocess.run(
        ["apt-get", "download", "-q", *packages], cwd=folder, capture_output=True, text=True, check=False
    )
    if loaded.returncode != 0:
        pytest.skip(f"apt-get download {' '.join(packages)}: {loaded.stderr[-500:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / "tree"], check=True)


def _files(tree: Path) -> Iterator[tuple[str, bytes]]:
    modules = {path.stem.replace("-", "_"): path.read_bytes() for path in tree.rglob("*.ko")}
    order: list[str] = []

    def need(name: str) -> None:
        if name in modules and name not in order:
            depends = re.search(rb"\0depends=([^\0]*)\0", modules[name])
            for other in depends[1].decode().split(",") if depends else ():
                need(other)
            order.append(name)

    for name in _MODULES:
        need(name)
    yield "bin/busybox", next(tree.glob("**/bin/busybox")).read_bytes()
    yield "init", _INIT.encode()
    yield "leased", _LEASED.encode()
    yield "modules/order", "".join(f"{name}\n" for name in order).encode()
    for name in order:
        yield f"modules/{name}.ko", modules[name]


def _archive(files: Iterator[tuple[str, bytes]]) -> bytes:
    """A cpio archive in the form that the kernel reads (initramfs buffer format, newc)."""
    entries = [_entry(folder, 0o40755, b"") for folder in ("bin", "modules")]
    entries += [_entry(name, 0o100755, content) for name, content in files]
    return b"".join([*entries, _entry("TRAILER!!!", 0, b"")])


def _entry(name: str, mode: int, content: bytes) -> bytes:
    path = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + path
    head += b"\0" * (-len(head) % 4)
    return head + content + b"\0" * (-len(content) % 4)
