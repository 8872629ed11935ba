"""An image built for real: Debian's Packer and QEMU without KVM, all scripts, Lynis in the machine.

One test, because the build takes minutes and everything that is asked of the image can be asked at once. It
mostly waits for its machine, which needs one processor: so it runs beside the others.
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
    """`zave build-image` with a state directory of the test's own, outside of any project."""

    state: Path

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Let a zave begin."""
        command = [sys.executable, "-m", "zave", "build-image", "--base", BASE, "-o", "json", *arguments]
        environment = {**os.environ, "ZAVE_STATE_DIR": str(self.state)}
        return subprocess.Popen(
            command, env=environment, cwd=self.state.parent, stdout=subprocess.PIPE, text=True
        )

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
    """What is in force on a machine that boots it, as far as its own programs tell without a boot."""
    check_ssh(root)
    check_kernel(root)
    check_services(root)
    check_accounts(root)
    assert '"hardening_index"' in (root / "etc/zave/image.json").read_text()


def check_ssh(root: Path) -> None:
    # a machine has host keys and a run directory by the time that sshd starts
    (root / "run/sshd").mkdir(parents=True, exist_ok=True)
    in_root(root, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/host_key")
    said = in_root(root, "sshd", "-T", "-h", "/run/host_key").splitlines()
    found = dict(line.split(" ", 1) for line in said if " " in line)
    wanted = {
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "permitemptypasswords": "no",
        "permitrootlogin": "no",
        "allowagentforwarding": "no",
        "allowtcpforwarding": "no",
        "x11forwarding": "no",
        "maxauthtries": "3",
        "logingracetime": "30",
        "clientaliveinterval": "300",
        "loglevel": "VERBOSE",
    }
    assert {name: found.get(name) for name in wanted} == wanted


def check_kernel(root: Path) -> None:
    # as systemd-sysctl reads them: by name, the last one counts
    values: dict[str, str] = {}
    folders = ("usr/lib/sysctl.d", "etc/sysctl.d")
    files = {file.name: file for folder in folders for file in sorted((root / folder).glob("*.conf"))}
    for name in sorted(files):
        settings = [line for line in lines(files[name]) if "=" in line and line.lstrip()[:1] not in "#;"]
        for key, value in (line.split("=", 1) for line in settings):
            values[key.strip().lstrip("-")] = value.strip()
    wanted = {
        "kernel.kptr_restrict": "2",
        "kernel.dmesg_restrict": "1",
        "kernel.unprivileged_bpf_disabled": "1",
        "kernel.perf_event_paranoid": "3",
        "kernel.sysrq": "0",
        "kernel.yama.ptrace_scope": "1",
        "fs.suid_dumpable": "0",
        "net.core.bpf_jit_harden": "2",
        "net.ipv4.conf.all.accept_redirects": "0",
        "net.ipv4.conf.all.send_redirects": "0",
        "net.ipv4.conf.all.accept_source_route": "0",
        # what k3s wants: protect-kernel-defaults, and pods that are routed
        "vm.panic_on_oom": "0",
        "vm.overcommit_memory": "1",
        "kernel.panic": "10",
        "kernel.panic_on_oops": "1",
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.all.rp_filter": "2",
        "net.bridge.bridge-nf-call-iptables": "1",
    }
    assert {name: values.get(name) for name in wanted} == wanted
    assert {"br_netfilter", "overlay"} <= set(lines(root / "etc/modules-load.d/k3s.conf"))
    # modprobe's own answer; -n loads nothing
    for module in ("cramfs", "dccp", "sctp", "usb-storage"):
        assert "install /bin/false" in in_root(root, "modprobe", "-n", "--show-depends", module, code=None)


def check_services(root: Path) -> None:
    for unit in ("auditd.service", "unattended-upgrades.service", "apt-daily-upgrade.timer", "ssh.service"):
        assert enabled(root, unit) == "enabled", unit
    for unit in ("rpcbind.service", "rpcbind.socket"):
        assert enabled(root, unit) == "masked", unit
    periodic = in_root(root, "apt-config", "dump", "APT::Periodic")
    assert 'APT::Periodic::Update-Package-Lists "1";' in periodic
    assert 'APT::Periodic::Unattended-Upgrade "1";' in periodic
    upgrades = in_root(root, "apt-config", "dump", "Unattended-Upgrade")
    # a node is drained first
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in upgrades
    rules = lines(root / "etc/audit/rules.d/50-zave.rules")
    for watched in ("/etc/shadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/usr/local/bin/k3s"):
        assert [line for line in rules if line.startswith(f"-w {watched} -p wa ")], watched
    assert [line for line in rules if "init_module" in line]
    # what the boot loads: auditd has its rules from all of the folder
    assert "50-zave.rules" in " ".join(file.name for file in (root / "etc/audit/rules.d").iterdir())
    swaps = [line for line in lines(root / "etc/fstab") if line.split()[2:3] == ["swap"]]
    assert [line for line in swaps if not line.startswith("#")] == []
    assert list((root / "etc/systemd/system").rglob("*.swap")) == []


def check_accounts(root: Path) -> None:
    states = [line.split() for line in in_root(root, "passwd", "--status", "--all").splitlines()]
    assert states
    # P: a password that opens it; NP: none is asked for
    assert {name: state for name, state, *_ in states if state != "L"} == {}
    roots = [line.split(":")[0] for line in lines(root / "etc/passwd") if line.split(":")[2] == "0"]
    assert roots == ["root"]
    assert (root / "etc/sudoers.d").stat().st_mode & 0o777 == 0o750
    assert (root / "etc/ssh/sshd_config.d/20-zave-hardening.conf").stat().st_mode & 0o777 == 0o600


def enabled(root: Path, unit: str) -> str:
    """What systemd would do with a unit at boot; exits with 1 for most answers."""
    said = subprocess.run(
        ["systemctl", "--root", root, "is-enabled", unit], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or said.stderr.strip()


def in_root(root: Path, *argv: str, code: int | None = 0) -> str:
    """What a program of the image says; `code` is how it must end, None for however it likes."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    ended = subprocess.run(
        ["chroot", root, "/usr/bin/env", "-i", path, *argv], capture_output=True, text=True, check=False
    )
    assert code is None or ended.returncode == code, f"{argv}: {ended.stderr}"
    return ended.stdout


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
