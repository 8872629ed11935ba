"""A Debian 12 that boots as a vendor's cloud image does, made from Debian's packages for tests.

It has a kernel, cloud-init, an SSH server and little else: `debian` is the user that cloud-init makes, and no
password opens it. ext4 fills the whole disk, so cloud-init's resize makes it as large as the disk.

The machines that boot it reach packages as this machine does: its apt settings are in the image, with
10.0.2.2 (this machine, seen through QEMU's user network) where they name a loopback address. So an image is
for tests on this machine and for nothing else.

    python -m tests.system.debian_image FOLDER
"""

import contextlib
import fcntl
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

SUITE = "bookworm"
KERNEL = "linux-image-cloud-amd64"
SYSTEM = (
    *(KERNEL, "systemd-sysv", "udev", "dbus", "kmod", "e2fsprogs"),
    *("cloud-init", "netplan.io", "systemd-resolved", "iproute2", "netbase", "procps"),
    *("openssh-server", "sudo", "ca-certificates", "curl", "qemu-guest-agent"),
)
CACHE = Path(__file__).parents[2] / ".cache" / "debian-image"
"""Where finished images are kept, named by their recipe."""

_TOOLS = ("mmdebstrap", "mkfs.ext4", "extlinux", "losetup", "qemu-img", "apt-config")
# documents, translations and safe writes: nobody reads them here, and without them packages unpack faster
_DPKG = (
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)
_SIZE = "2G"
_LABEL = "zave-test"
# both links follow a kernel that an update installs
_BOOT = f"""\
DEFAULT debian
LABEL debian
LINUX /vmlinuz
INITRD /initrd.img
APPEND root=LABEL={_LABEL} ro console=tty0 console=ttyS0 mitigations=off
"""
_INITRAMFS = ("virtio_pci", "virtio_blk", "virtio_scsi", "ext4")
_LOOPBACK = re.compile(r"(?<=//)(localhost|127(\.\d+){3}|\[::1\])(?=[:/]|$)")
_LOOPBACK_LINE = re.compile(r"^(127(\.\d+){3}|::1)")
_HOST_BY_USER_NETWORK = "10.0.2.2"
_APT_SETTINGS = re.compile(r"Acquire::(https?(::.*)?|Check-.*|Max-.*|Retries)")


class UnavailableError(Exception):
    """The image cannot be made here; says why. A test skips with it."""


def debian_image(folder: Path) -> Path:
    """A qcow2 image of its own in `folder`, which must exist; takes about a minute the first time.

    Root may boot and change it. Raises UnavailableError where a tool, root or Debian's mirror is missing.
    """
    missing = [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} not found: see tests/system/packages.txt")
    if os.geteuid() != 0:
        raise UnavailableError("only root can make a root file system and mount it")
    apt = _apt_settings()
    kept = CACHE / f"{_recipe(apt)}.qcow2"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / "lock"):
        if not kept.exists():
            _make(kept, apt)
        image = folder / "debian-12.qcow2"
        _run("cp", "--reflink=auto", "--sparse=always", str(kept), str(image))
    return image


@contextlib.contextmanager
def mounted(disk: Path, folder: Path) -> Iterator[Path]:
    """The file system that fills the raw `disk`, at the new folder `folder`."""
    folder.mkdir()
    _run("mount", "-o", "loop", str(disk), str(folder))
    try:
        yield folder
    finally:
        _run("umount", str(folder))
        folder.rmdir()


def seen_by_host(root: Path) -> None:
    """Let programs that run in `root` without a machine reach packages: loopback is loopback there."""
    for file in (*root.glob("etc/apt/sources.list"), *root.glob("etc/apt/apt.conf.d/99-this-machine")):
        file.write_text(file.read_text().replace(f"//{_HOST_BY_USER_NETWORK}", "//127.0.0.1"))
    resolver = root / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    shutil.copy("/etc/resolv.conf", resolver)


# making it


def _make(kept: Path, apt: dict[str, str]) -> None:
    """Put a new image at `kept`, and drop those of older recipes."""
    with tempfile.TemporaryDirectory(prefix="making-", dir=kept.parent) as scratch:
        root, disk, image = (Path(scratch, name) for name in ("root", "disk.raw", "image.qcow2"))
        _bootstrap(root, apt)
        _furnish(root, apt)
        _run("mkfs.ext4", "-q", "-L", _LABEL, "-d", str(root), str(disk), _SIZE)
        with mounted(disk, Path(scratch, "mounted")) as boot:
            _run("extlinux", "--install", str(boot / "boot/extlinux"))
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(image))
        image.chmod(0o600)  # this machine's apt settings may hold passwords
        for old in kept.parent.glob("*.qcow2"):
            old.unlink()
        image.rename(kept)


def _bootstrap(root: Path, apt: dict[str, str]) -> None:
    options = [f"--aptopt={line}" for line in json.loads(apt["settings"])]
    options += [f"--dpkgopt={line}" for line in _DPKG]
    # before the kernel is configured: an initramfs for every machine would be large, and slow to unpack
    furnish = (
        'd="$1/etc/initramfs-tools"; mkdir -p "$d/conf.d"; echo MODULES=list >"$d/conf.d/modules"; '
        f'printf "%s\\n" {" ".join(_INITRAMFS)} >"$d/modules"'
    )
    options += [f"--extract-hook={furnish}", f"--include={','.join(SYSTEM)}"]
    # its mounts are its own: none is left for the clean-up to run into, however it ends
    command = ["unshare", "--mount", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    ended = subprocess.run(
        [*command, *options, SUITE, root, "-"],
        input=apt["sources"],
        env={"PATH": _path(), "DEBIAN_FRONTEND": "noninteractive", **_proxies()},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    if ended.returncode != 0:
        last = ended.stderr[-2000:]
        if "apt-get update" in last:
            raise UnavailableError(f"Debian's mirror cannot be reached: {last.strip()}")
        raise RuntimeError(f"mmdebstrap failed: {last}")


def _furnish(root: Path, apt: dict[str, str]) -> None:
    """Boot loader, file systems, the guest's way to packages, and no identity of its own."""
    for old in (*root.glob("etc/apt/sources.list*/*"), *root.glob("etc/apt/apt.conf.d/99mmdebstrap")):
        old.unlink()
    settings = "".join(f"{line}\n" for line in json.loads(apt["settings"]))
    files = {
        "boot/extlinux/extlinux.conf": _BOOT,
        "etc/fstab": f"LABEL={_LABEL} / ext4 defaults 0 1\n",
        "etc/hostname": "debian\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{apt['hosts']}",
        "etc/apt/sources.list": _seen_by_guest(apt["sources"]),
        "etc/apt/apt.conf.d/99-this-machine": _seen_by_guest(settings + apt["proxies"]),
        "etc/machine-id": "",
        # as there is no locale to choose from
        "etc/cloud/cloud.cfg.d/10_locale.cfg": "locale: false\n",
    }
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for source in ("apt/auth.conf", "apt/auth.conf.d", "apt/trusted.gpg.d", "apt/keyrings"):
        _copy(Path("/etc", source), root / "etc" / source)
    _copy(Path("/usr/local/share/ca-certificates"), root / "usr/local/share/ca-certificates")
    _run("chroot", str(root), "update-ca-certificates")
    for key in root.glob("etc/ssh/ssh_host_*"):
        key.unlink()


# this machine's way to packages


def _apt_settings() -> dict[str, str]:
    """Sources for the suite, apt's settings for reaching them, and names that only /etc/hosts knows."""
    sources = _sources()
    dump = _run("apt-config", "dump", "--no-empty", "--format", "%f %v%n", "Acquire").splitlines()
    settings = [line.split(" ", 1) for line in dump]
    known = [f'{name} "{value}";' for name, value in settings if _APT_SETTINGS.fullmatch(name)]
    known.append('Acquire::Languages "none";')
    proxies = [
        f'Acquire::{name.split("_")[0]}::Proxy "{value}";\n' for name, value in _proxies().items() if value
    ]
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://\S+", sources)}
    names = [
        line
        for line in Path("/etc/hosts").read_text().splitlines()
        if hosts.intersection(line.split("#")[0].split()[1:]) - {"localhost"}
    ]
    text = "".join(f"{_LOOPBACK_LINE.sub(_HOST_BY_USER_NETWORK, line)}\n" for line in names)
    return {"sources": sources, "settings": json.dumps(known), "proxies": "".join(proxies), "hosts": text}


def _sources() -> str:
    """The one-line sources of the suite that this machine uses. Raises UnavailableError for another suite."""
    listed = _run(
        *("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"),
        "Created-By: Packages",
    )
    found = [line.split() for line in dict.fromkeys(listed.splitlines())]
    used = [line for line in found if line[1].split("-")[0] == SUITE and line[2:] == ["main"]]
    if not used:
        raise UnavailableError(f"apt on this machine has no packages of Debian {SUITE}")
    return "".join(f"deb {' '.join(line)}\n" for line in used)


def _proxies() -> dict[str, str]:
    """apt reads these two from the environment, in small letters."""
    return {name: os.environ[name] for name in ("http_proxy", "https_proxy") if name in os.environ}


def _seen_by_guest(text: str) -> str:
    """`text` with this machine's address in its user network instead of loopback ones."""
    return _LOOPBACK.sub(_HOST_BY_USER_NETWORK, text)


def _recipe(apt: dict[str, str]) -> str:
    """A name for what the image is made from: packages, how they come together, this machine's settings."""
    parts = [SUITE, SYSTEM, _DPKG, _SIZE, _LABEL, _BOOT, _INITRAMFS, apt]
    how = [inspect.getsource(function) for function in (_make, _bootstrap, _furnish)]
    return hashlib.sha256(json.dumps([*parts, *how], sort_keys=True).encode()).hexdigest()[:16]


# around it


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Two tests at once make one image."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _copy(source: Path, destination: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, destination, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, destination)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _run(*argv: str) -> str:
    ended = subprocess.run(
        argv, env={**os.environ, "PATH": _path()}, capture_output=True, text=True, check=False, timeout=600
    )
    if ended.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed: {ended.stderr[-2000:]}")
    return ended.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{debian_image(Path(sys.argv[1]))}\n")
