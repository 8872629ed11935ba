"""Each script alone on a plain Debian, twice: what the first run wrote, the second leaves as it is."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.debian_image import UnavailableError, debian_image, mounted, seen_by_host
from zave.project import Project

SCRIPTS = Project().path("packer-images/k3s-base/scripts")
# what a machine is made of; not its logs, and not what apt fetched
SYSTEM = ("boot", "etc", "usr", "var/lib/dpkg/status", "var/spool")
EXPECTED = {
    "update-packages.sh": (),
    "harden-os.sh": ("etc/ssh/sshd_config.d/20-zave-hardening.conf", "usr/sbin/auditd"),
    "install-k3s-prereqs.sh": ("etc/sysctl.d/90-k3s.conf", "usr/sbin/mount.nfs"),
}


def system_of(root: Path) -> dict[str, tuple[int, str]]:
    """Mode and content of every file that belongs to the system, by name."""
    found: dict[str, tuple[int, str]] = {}
    for top in SYSTEM:
        place = root / top
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            if path.is_symlink():
                content = str(path.readlink()).encode()
            elif path.is_file():
                content = path.read_bytes()
            else:
                content = b""
            found[str(path.relative_to(root))] = (path.lstat().st_mode, hashlib.sha256(content).hexdigest())
    return found


def run(script: str, root: Path) -> None:
    # no systemd, no HOME, no terminal: as little as a script may ever find
    environment = ["/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    alone = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={root / 'proc'}", "chroot", str(root)]
    ended = subprocess.run(
        [*alone, *environment, f"/srv/{script}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


@pytest.mark.parametrize("script", sorted(EXPECTED))
def test_a_script_run_alone_and_again_changes_nothing_more(script: str, tmp_path: Path) -> None:
    try:
        image = debian_image(tmp_path)
    except UnavailableError as error:
        pytest.skip(str(error))
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    with mounted(raw, tmp_path / "root") as root:
        seen_by_host(root)
        shutil.copy(SCRIPTS / script, root / "srv")
        before = system_of(root)
        run(script, root)
        first = system_of(root)
        run(script, root)
        assert system_of(root) == first
        assert [name for name in EXPECTED[script] if name not in first or name in before] == []


def test_no_account_is_ever_too_old_for_its_key(tmp_path: Path) -> None:
    """A machine that an earlier version hardened, and an account that cloud-init makes after the script."""
    try:
        image = debian_image(tmp_path)
    except UnavailableError as error:
        pytest.skip(str(error))
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    with mounted(raw, tmp_path / "root") as root:
        seen_by_host(root)
        definitions = root / "etc/login.defs"
        kept = [line for line in definitions.read_text().splitlines() if not line.startswith("PASS_MAX_DAYS")]
        definitions.write_text("\n".join([*kept, "PASS_MAX_DAYS 365", ""]))
        in_root(root, "useradd", "--create-home", "before")
        in_root(root, "useradd", "owner")
        in_root(root, "usermod", "--password", "$6$aHashOfAPassword", "owner")
        shutil.copy(SCRIPTS / "harden-os.sh", root / "srv")
        run("harden-os.sh", root)
        in_root(root, "useradd", "--create-home", "after")
        fields = [line.split(":") for line in (root / "etc/shadow").read_text().splitlines()]
        oldest = {name: maximum for name, _, _, _, maximum, *_ in fields}
        assert (oldest["before"], oldest["after"]) == ("99999", "99999")
        # whoever does have a password keeps its age
        assert oldest["owner"] == "365"


def in_root(root: Path, *argv: str) -> None:
    subprocess.run(["chroot", str(root), *argv], check=True, capture_output=True)
