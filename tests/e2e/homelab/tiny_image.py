"""A disk image that boots in seconds without KVM, asks for a lease, and goes off when it is told to.

Debian's cloud kernel with BusyBox in an initramfs: enough for what Terraform makes of a machine, where
booting a whole Debian would only take time.
"""

import gzip
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.system.debian_image import UnavailableError

KERNEL = "linux-image-cloud-amd64"
# in the order of loading; what they need is found in the kernel's own list
MODULES = ("virtio_pci", "virtio_net", "button", "evdev")
TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "mkfs.ext4", "extlinux", "mount", "qemu-img")

_NEEDS = re.compile(rb"\0depends=([^\0]*)\0")
_BOOT = """\
DEFAULT tiny
LABEL tiny
LINUX /vmlinuz
INITRD /initrd
APPEND console=ttyS0 quiet mitigations=off
"""
_INIT = """\
#!/bin/sh
export PATH=/bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
ip link set eth0 up
acpid -d -c /etc/acpi -l /dev/null &
while :; do
  udhcpc -i eth0 -s /bin/lease -t 5 -T 1 -A 1 -f -x "hostname:tiny"
  sleep 1
done
"""
# called by udhcpc: $1 is what happened, the lease is in the environment
_LEASE = """\
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev eth0; ip address add "$ip/$mask" dev eth0
echo "zave-tiny: leased $ip" >/dev/ttyS0
"""
_POWER = "#!/bin/sh\npoweroff -f\n"


def tiny_image(folder: Path) -> Path:
    """A qcow2 image in `folder`, which must exist. Needs root, for a loop mount.

    Raises UnavailableError where a tool or Debian's mirror is missing.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} not found: see tests/system/packages.txt")
    parts, disk = folder / "parts", folder / "disk"
    parts.mkdir()
    (disk / "boot/extlinux").mkdir(parents=True)
    _unpack(parts)
    (kernel,) = (parts / "boot").glob("vmlinuz-*")
    shutil.copy(kernel, disk / "vmlinuz")
    (disk / "initrd").write_bytes(gzip.compress(_archive(_files(parts)), 6, mtime=0))
    (disk / "boot/extlinux/extlinux.conf").write_text(_BOOT)
    raw, image = folder / "tiny.raw", folder / "tiny.qcow2"
    # extlinux 6.04 reads no blocks of 1 KiB, which a disk this small would get
    _run("mkfs.ext4", "-q", "-b", "4096", "-d", str(disk), str(raw), "64M")
    mounted = folder / "mounted"
    mounted.mkdir()
    _run("mount", "-o", "loop", str(raw), str(mounted))
    try:
        _run("extlinux", "--install", str(mounted / "boot/extlinux"))
    finally:
        _run("umount", str(mounted))
    _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image))
    for scratch in (parts, disk):
        shutil.rmtree(scratch)
    raw.unlink()
    mounted.rmdir()
    return image


def _unpack(parts: Path) -> None:
    """Debian's packages, without installing them."""
    listed = _run("apt-cache", "depends", KERNEL).splitlines()
    kernels = [line.split()[-1] for line in listed if "Depends: linux-image-" in line]
    if not kernels:
        raise UnavailableError(f"apt knows no {KERNEL}: run apt-get update")
    try:
        _run("apt-get", "download", "-o", "APT::Sandbox::User=root", kernels[0], "busybox-static", cwd=parts)
    except RuntimeError as error:
        raise UnavailableError(f"Debian's mirror cannot be reached: {error}") from error
    for package in parts.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(parts))
        package.unlink()


def _files(parts: Path) -> Iterator[tuple[str, int, bytes]]:
    """Name, mode and content of each file of the initramfs; folders before what is in them."""
    for folder in ("bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "modules", "proc", "sys"):
        yield folder, 0o040755, b""
    busybox = parts / "bin/busybox"
    yield "bin/busybox", 0o100755, busybox.read_bytes()
    for applet in sorted(set(_run(str(busybox), "--list").split()) - {"busybox"}):
        yield f"bin/{applet}", 0o120777, b"busybox"
    scripts: Mapping[str, str] = {"init": _INIT, "bin/lease": _LEASE, "etc/acpi/PWRF/00000080": _POWER}
    for name, script in scripts.items():
        yield name, 0o100755, script.encode()
    modules = list(_modules(parts))
    yield "modules/order", 0o100644, "".join(f"{module.name}\n" for module in modules).encode()
    for module in modules:
        yield f"modules/{module.name}", 0o100644, module.read_bytes()


def _modules(parts: Path) -> Iterator[Path]:
    """The modules and all that they need, in the order of loading."""
    (folder,) = (parts / "lib/modules").iterdir()
    files = {file.stem.replace("-", "_"): file for file in folder.rglob("*.ko")}
    seen: set[str] = set()

    def needed(name: str) -> Iterator[Path]:
        if name in seen:
            return
        seen.add(name)
        # a module names what it needs in its section .modinfo
        needs = _NEEDS.search(files[name].read_bytes())
        for each in filter(None, needs[1].decode().split(",") if needs else ()):
            yield from needed(each.replace("-", "_"))
        yield files[name]

    for name in MODULES:
        yield from needed(name)


def _archive(files: Iterator[tuple[str, int, bytes]]) -> bytes:
    """The files as cpio in the form `newc` (kernel documentation, "initramfs buffer format")."""
    out = bytearray()
    for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        out += b"\0" * (-len(out) % 4) + content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def _run(*argv: str, cwd: Path | None = None) -> str:
    ended = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed: {ended.stderr[-2000:]}")
    return ended.stdout
