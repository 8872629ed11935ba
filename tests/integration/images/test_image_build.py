"""An image built for real: Debian's Packer and QEMU without KVM, all scripts, Lynis in the machine.

One test, because the build takes minutes and everything that is asked of the image can be asked at once.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.debian_image import UnavailableError, debian_image, mounted
from tests.system.processes import command_lines
from zave.images.store import Store, StoredImage

pytestmark = pytest.mark.machine

BASE = "debian-12"
GIB = 1 << 30


@pytest.fixture
def base(tmp_path: Path) -> Path:
    missing = [tool for tool in ("packer", "qemu-system-x86_64", "qemu-img") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: see tests/system/packages.txt")
    try:
        return debian_image(tmp_path)
    except UnavailableError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Builder:
    """`zave build-image` with a state directory of the test's own."""

    state: Path

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Let a zave begin."""
        command = [sys.executable, "-m", "zave", "build-image", "--base", BASE, "-o", "json", *arguments]
        environment = {**os.environ, "ZAVE_STATE_DIR": str(self.state)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str | Path) -> list[dict[str, Any]]:
        """A zave that must succeed, and what it told."""
        with self.start(*arguments) as zave:
            said, _ = zave.communicate()
        assert zave.returncode == 0, said
        return [json.loads(line) for line in said.splitlines()]

    def images(self) -> list[dict[str, Any]]:
        """What `--list` shows."""
        [document] = self.run("--list")
        images: list[dict[str, Any]] = document["images"]
        return images

    def machines(self) -> list[str]:
        """Command lines of the QEMUs whose disk is in the state directory."""
        return [line for line in command_lines() if "qemu-system" in line and str(self.state) in line]


def kill_in_the_middle(builder: Builder, base: Path) -> None:
    """Let a zave begin the build, and kill -9 it once its machine runs."""
    with builder.start("--source", base) as zave:
        assert zave.stdout is not None
        for line in zave.stdout:
            if "Waiting for SSH" in line:
                zave.send_signal(signal.SIGKILL)
    assert zave.returncode == -signal.SIGKILL


def outcomes(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["outcome"] for event in events if event["event"] == "step.finished"]


def test_an_image_is_built_after_a_killed_build_hardened_and_with_no_identity(
    base: Path, tmp_path: Path
) -> None:
    builder = Builder(tmp_path / "state")
    kill_in_the_middle(builder, base)
    assert builder.machines()
    assert [image for image in builder.images() if image["name"].startswith("zave-k3s-base")] == []

    assert outcomes(builder.run()) == ["done"]

    assert not builder.machines()
    [image] = [image for image in builder.images() if image["name"].startswith("zave-k3s-base")]
    location = Path(image["location"])
    stored = Store(location.parent, lambda: False).find(image["name"])
    assert stored is not None
    check_manifest(stored)
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", location, raw], check=True)
    with mounted(raw, tmp_path / "root") as root:
        check_no_identity(root)
        check_hardened(root)
    assert outcomes(builder.run()) == ["skipped"]
    assert image in builder.images()


def check_manifest(stored: StoredImage) -> None:
    provenance = stored.provenance
    assert stored.virtual_size == 50 * GIB
    assert provenance.lynis >= 75
    assert provenance.base == BASE
    names = {package.split()[0] for package in provenance.packages}
    assert {"auditd", "unattended-upgrades", "nfs-common", "qemu-guest-agent", "apparmor"} <= names
    # it came for the measurement alone
    assert "lynis" not in names


def check_no_identity(root: Path) -> None:
    assert (root / "etc/machine-id").read_text() == ""
    assert list((root / "etc/ssh").glob("ssh_host_*")) == []
    assert list(root.glob("home/*")) == []
    assert not (root / "root/.ssh").exists()
    assert list((root / "var/lib/cloud").iterdir()) == []
    assert not (root / "etc/sudoers.d/90-cloud-init-users").exists()
    assert not (root / "var/lib/systemd/random-seed").exists()
    assert list((root / "var/log/journal").glob("*")) == []
    assert not (root / "var/tmp/zave-image").exists()
    assert "debian" not in {line.split(":")[0] for line in lines(root / "etc/passwd")}
    hashes = [line.split(":")[1] for line in lines(root / "etc/shadow")]
    # locked, each of them: neither a password nor an empty one
    assert [value for value in hashes if not value.startswith(("!", "*"))] == []
    # PAM would turn away a key whose account has a password of that age, even a locked one
    ages = [line.split(":")[4] for line in lines(root / "etc/shadow")]
    assert set(ages) <= {"", "99999"}
    assert "PASS_MAX_DAYS 99999" in lines(root / "etc/login.defs")


def check_hardened(root: Path) -> None:
    sshd = (root / "etc/ssh/sshd_config.d/20-zave-hardening.conf").read_text()
    assert "PasswordAuthentication no" in sshd
    assert "PermitRootLogin no" in sshd
    assert (root / "etc/sysctl.d/90-k3s.conf").exists()
    assert (root / "etc/sysctl.d/91-k3s-pods.conf").exists()
    assert '"hardening_index"' in (root / "etc/zave/image.json").read_text()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
