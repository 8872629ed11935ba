"""The scripts that machines get: run here, with their paths pointing into a folder."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from zave.k3s import guest
from zave.k3s.hostkeys import HostKey, announced_keys
from zave.platforms.libvirt_values import seeds_of
from zave.ports.machines import Release
from zave.project import Project
from zave.spec.libvirt import LibvirtSpec
from zave.spec.load import parse_spec

FILES = Project().path("templates/cloud-init") / "files"
BINARY, IMAGES = b"a binary\n", b"an archive\n"
PLACES = ("/etc/ssh/", "/etc/rancher/", "/dev/ttyS0", "/dev/console", "/usr/local/bin", "/var/lib/")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def run(
    name: str, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    script = (FILES / name).read_text()
    for place in PLACES:
        script = script.replace(place, f"{folder}{place}")
    surroundings = {"PATH": f"{folder}/bin:{os.environ['PATH']}", **(environment or {})}
    return subprocess.run(
        ["sh", "-c", script, "sh", *arguments],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# host keys


def test_what_the_unit_tells_on_the_console_is_what_zave_reads(tmp_path: Path) -> None:
    for place in ("etc/ssh", "etc/rancher/k3s", "dev"):
        (tmp_path / place).mkdir(parents=True)
    private = tmp_path / "etc/ssh/ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private], check=True)
    # a machine that joined already: told once, at boot
    (tmp_path / "etc/rancher/k3s/token").touch()
    result = run("announce-host-keys.sh", tmp_path, "lab-worker-1")
    assert (result.returncode, result.stderr) == (0, "")
    kind, key = private.with_suffix(".pub").read_text().split()[:2]
    said = (tmp_path / "dev/console").read_bytes()
    assert announced_keys([said], "lab-worker-1") == (HostKey(kind, key),)
    assert announced_keys([said], "lab-worker-2") == ()


# the binary


def pinned(**changes: str) -> dict[str, str]:
    return {
        "ZAVE_K3S_VERSION": "v1.35.9+k3s1",
        "ZAVE_K3S_SHA256": digest(BINARY),
        "ZAVE_K3S_ORIGIN": "folder",
        "ZAVE_K3S_URL": "",
        "ZAVE_K3S_IMAGES_SHA256": "",
        **changes,
    }


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine's folders, a curl that serves `published/` and notes what it was asked for."""
    for place in ("bin", "usr/local/bin", "var/lib/zave/artifacts", "published"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "bin/curl").write_text(
        f'#!/bin/sh\nfor last; do :; done\necho "$last" >>{tmp_path}/asked\n'
        f'while [ "$1" != -o ]; do shift; done\ncp "{tmp_path}/published/${{last##*/}}" "$2"\n'
    )
    (tmp_path / "bin/curl").chmod(0o755)
    return tmp_path


def test_a_copied_binary_is_checked_and_put_in_place(machine: Path) -> None:
    (machine / "var/lib/zave/artifacts/k3s").write_bytes(BINARY)
    assert run("install-k3s.sh", machine, environment=pinned()).returncode == 0
    installed = machine / "usr/local/bin/k3s"
    assert installed.read_bytes() == BINARY
    assert installed.stat().st_mode & 0o777 == 0o755
    assert not (machine / "asked").exists()


def test_what_is_there_already_is_neither_fetched_nor_replaced(machine: Path) -> None:
    installed = machine / "usr/local/bin/k3s"
    installed.write_bytes(BINARY)
    before = installed.stat()
    assert run("install-k3s.sh", machine, environment=pinned(ZAVE_K3S_ORIGIN="vendor")).returncode == 0
    assert installed.stat() == before
    assert not (machine / "asked").exists()


def test_a_binary_with_another_digest_never_replaces_the_one_that_runs(machine: Path) -> None:
    installed = machine / "usr/local/bin/k3s"
    installed.write_bytes(b"the one that runs")
    (machine / "published/k3s").write_bytes(b"another")
    result = run("install-k3s.sh", machine, environment=pinned(ZAVE_K3S_ORIGIN="vendor"))
    assert result.returncode == 1
    assert "does not have the digest that zave pinned" in result.stderr
    assert [file.name for file in installed.parent.iterdir()] == ["k3s"]
    assert installed.read_bytes() == b"the one that runs"


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("vendor", "https://github.com/k3s-io/k3s/releases/download/v1.35.9%2Bk3s1"),
        ("url", "https://files.example.org/zave"),
    ],
)
def test_files_come_from_where_the_release_says(machine: Path, origin: str, url: str) -> None:
    (machine / "published/k3s").write_bytes(BINARY)
    (machine / "published/k3s-airgap-images-amd64.tar.zst").write_bytes(IMAGES)
    environment = pinned(ZAVE_K3S_ORIGIN=origin, ZAVE_K3S_URL=url, ZAVE_K3S_IMAGES_SHA256=digest(IMAGES))
    assert run("install-k3s.sh", machine, environment=environment).returncode == 0
    asked = (machine / "asked").read_text().split()
    # the images first: k3s must not start without them
    assert asked == [f"{url}/k3s-airgap-images-amd64.tar.zst", f"{url}/k3s"]
    archive = machine / "var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar.zst"
    assert archive.read_bytes() == IMAGES


def test_a_missing_copy_is_named(machine: Path) -> None:
    result = run("install-k3s.sh", machine, environment=pinned())
    assert result.returncode == 1
    assert "k3s is not in" in result.stderr


# what both sides must agree on


@pytest.mark.parametrize(
    "release",
    [
        Release("v1.35.9+k3s1", "ab" * 32, "vendor"),
        Release("v1.35.9+k3s1", "ab" * 32, "url", "https://files.example.org/zave", "cd" * 32),
        Release("v1.35.9+k3s1", "ab" * 32, "folder", "/srv/zave", "cd" * 32),
    ],
)
def test_an_upgrade_writes_the_file_that_the_seed_wrote(release: Release) -> None:
    spec = parse_spec("platform: libvirt-k3s\n", where="environment.yaml")
    assert isinstance(spec, LibvirtSpec)
    seed = seeds_of(Project(), spec, instance="lab", keys=["ssh-ed25519 AAAA"], release=release)
    files = yaml.safe_load(seed["lab-worker-1"].user_data)["write_files"]
    written = next(file["content"] for file in files if file["path"] == "/etc/zave/k3s.env")
    assert written.strip().encode() == guest.environment(release).strip()


@pytest.mark.parametrize(
    "name",
    [n for n in vars(guest) if n.isupper() and isinstance(vars(guest)[n], str) and n != "UPGRADING"],
)
def test_scripts_for_machines_are_shell(name: str) -> None:
    checked = subprocess.run(["sh", "-n", "-c", vars(guest)[name]], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
