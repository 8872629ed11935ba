"""Builds: what Packer is given, what becomes an image, and what a killed build leaves."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.images.vendors import qcow2
from tests.unit.images.workbench import Workbench
from zave.errors import (
    InterruptedRunError,
    PreconditionError,
    StepFailedError,
    ToolFailedError,
    ToolMissingError,
    UsageError,
)
from zave.ports import Artifact


def test_a_built_image_is_found_again_and_not_built_twice(work: Workbench) -> None:
    assert work.images.find(work.request()) is None
    built = work.build()

    assert work.images.find(work.request()) == built
    assert work.build() == built
    assert work.builds() == 1
    assert Path(built.location).read_bytes() == qcow2(b"whole")
    assert built.name.startswith("zave-k3s-base-ubuntu-24.04-")
    assert built.checksum.startswith("sha256:")


def test_the_manifest_tells_how_the_image_came_to_be(work: Workbench) -> None:
    built = work.build()
    manifest = json.loads(Path(built.location).with_suffix(".json").read_text())

    assert manifest["base_checksum"] == f"sha256:{work.bench.vendor.checksum}"
    assert manifest["base_verified_by"].startswith("OpenPGP signature")
    assert (manifest["lynis"], manifest["lynis_version"]) == (78, "3.0.8")
    assert manifest["packages"] == ["adduser 3.134 all", "bash 5.2 amd64"]
    assert manifest["virtual_size"] == 50 << 30
    assert manifest["packer"] == "Packer 1.6.6"
    assert manifest["fingerprint"] == built.fingerprint
    assert len(manifest["scripts_sha256"]) == 64
    assert manifest["seal"]["size"] == built.size


def test_packer_is_given_the_verified_base_and_a_key_that_is_thrown_away(work: Workbench) -> None:
    work.build()
    values = json.loads(work.given("values.json"))

    assert values["source_checksum"] == f"sha256:{work.bench.vendor.checksum}"
    assert Path(values["source_image"]).read_bytes() == work.bench.vendor.image
    assert values["accelerator"] == "tcg"
    key = work.given("key")
    assert "OPENSSH PRIVATE KEY" in key
    assert key.endswith("0o100600")
    assert "ssh-ed25519" in work.given("seed-user-data")
    assert f"zave-build-{values['fingerprint'][:12]}" in work.given("seed-meta-data")
    assert not Path(values["ssh_private_key_file"]).exists()
    assert work.files("work") == []


@pytest.mark.parametrize(("version", "block"), [("1.6.6", False), ("1.11.0", True)])
def test_the_plugin_block_is_rendered_for_packers_that_know_it(
    work: Workbench, version: str, block: bool
) -> None:
    work.told(version=version)
    work.build()
    assert {"k3s-base.pkr.hcl", "plugins.pkr.hcl", "scripts/harden-os.sh"} <= set(
        json.loads(work.given("template.json"))
    )
    assert ("init" in work.given("builds")) == block


def test_progress_goes_forward(work: Workbench) -> None:
    work.build()
    told = [fraction for _, fraction in work.bench.say.lines if fraction is not None]
    start = work.bench.say.lines.index(("Packer 1.6.6 builds k3s-base on ubuntu-24.04", 0.0))
    building = [fraction for _, fraction in work.bench.say.lines[start:] if fraction is not None]
    assert building == sorted(building)
    assert (building[0], building[-1], told[-1]) == (0.0, 1.0, 1.0)
    assert "Starting VM, booting disk" in work.bench.say.text
    assert "running harden-os.sh" in work.bench.say.text


# what makes another image


def test_a_changed_script_makes_another_image_and_a_changed_readme_does_not(work: Workbench) -> None:
    first = work.build()
    (work.image / "README.md").write_text("told better\n")
    (work.image / "debian-12.pkrvars.hcl").write_text("another base's\n")
    assert work.build() == first
    (work.image / "scripts" / "harden-os.sh").write_text("#!/bin/sh\nset -eu\n")
    assert work.images.find(work.request()) is None
    assert work.build() != first
    assert work.builds() == 2


def test_another_pinned_base_makes_another_image(work: Workbench) -> None:
    first = work.build()
    vendor = work.bench.vendor
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()

    assert work.images.find(work.request()) == first
    work.images.pin("ubuntu-24.04", source=None, say=work.bench.say)
    assert work.images.find(work.request()) is None
    assert work.build() != first


def test_a_file_of_ones_own_can_be_built_on(work: Workbench, tmp_path: Path) -> None:
    own = tmp_path / "own.qcow2"
    own.write_bytes(qcow2(b"own"))
    work.images.pin("debian-12", source=own, say=work.bench.say)

    built = work.build(base="debian-12")

    assert json.loads(work.given("values.json"))["source_image"] == str(own)
    assert built.name.startswith("zave-k3s-base-debian-12-")
    assert own.exists()


def test_a_cloud_image_is_the_vendors_own_and_needs_no_packer(work: Workbench) -> None:
    (work.bin / "packer").unlink()
    request = work.request(source="cloud")
    assert work.images.find(request) is None

    image = work.images.build(request, say=work.bench.say)

    assert image == work.images.find(request)
    assert Path(image.location).read_bytes() == work.bench.vendor.image
    assert image.checksum == f"sha256:{work.bench.vendor.checksum}"


def test_a_base_that_the_image_does_not_know_is_told_before_anything_is_fetched(work: Workbench) -> None:
    with pytest.raises(UsageError, match="no variables for the base plan9") as caught:
        work.build(base="plan9")
    assert caught.value.resolution == "known are debian-12, ubuntu-24.04"
    assert work.bench.vendor.site.asked == []


@pytest.mark.parametrize(
    ("gone", "problem", "package"),
    [
        (("qemu-img",), "qemu-img was not found", "qemu-utils"),
        (("qemu-system-x86_64",), "qemu-system-x86_64 was not found", "qemu-system-x86"),
        (
            ("qemu-system-x86_64", "qemu-img"),
            "qemu-system-x86_64 and qemu-img were not found",
            "qemu-system-x86 and qemu-utils",
        ),
    ],
)
def test_a_missing_qemu_is_told_before_anything_is_fetched(
    work: Workbench, gone: tuple[str, ...], problem: str, package: str
) -> None:
    for name in gone:
        (work.bin / name).unlink()
    with pytest.raises(ToolMissingError, match=problem) as caught:
        work.build()
    assert (caught.value.resolution or "").endswith(package)
    assert work.bench.vendor.site.asked == []


def test_an_ami_needs_no_qemu(work: Workbench) -> None:
    for name in ("qemu-system-x86_64", "qemu-img"):
        (work.bin / name).unlink()
    work.workshop.require("k3s-base", "debian-12", builder="amazon-ebs")


def test_a_missing_packer_is_told_before_anything_is_fetched(work: Workbench) -> None:
    (work.bin / "packer").unlink()
    with pytest.raises(ToolMissingError, match="packer was not found"):
        work.build()
    assert work.bench.vendor.site.asked == []


# what is no image


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"lynis": 74}, "hardening index of 74: 75 is needed"),
        ({"lynis": 400}, "no hardening index"),
        ({"lynis": "high"}, "no hardening index"),
        ({"forgets": ["lynis-report.dat"]}, "lynis-report.dat cannot be used"),
        ({"forgets": ["image.json"]}, "image.json cannot be used"),
        ({"report": {"fingerprint": "another"}}, "of another build"),
    ],
)
def test_a_build_without_a_good_report_fails(work: Workbench, told: dict[str, object], problem: str) -> None:
    work.told(**told)
    with pytest.raises(StepFailedError, match=problem) as caught:
        work.build()
    assert caught.value.exit_code == 1
    assert caught.value.resolution
    assert work.images.find(work.request()) is None
    assert (work.files("work"), work.files("built")) == ([], [])


def test_a_failed_build_leaves_nothing_and_the_next_one_succeeds(work: Workbench) -> None:
    work.told(code=1)
    with pytest.raises(ToolFailedError, match="packer build failed"):
        work.build()
    assert (work.files("work"), work.files("built")) == ([], [])
    work.told()
    assert work.images.find(work.request()) is None
    assert work.build() == work.images.find(work.request())


def test_an_image_without_its_manifest_is_none(work: Workbench) -> None:
    built = work.build()
    Path(built.location).with_suffix(".json").unlink()
    assert work.images.find(work.request()) is None
    assert [image.name for image in work.images.list() if image.name.startswith("zave-")] == []
    assert work.build().checksum == built.checksum


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"schema": "zave/image-manifest/v1"}', b"\xff"])
def test_a_damaged_manifest_is_no_manifest(work: Workbench, damage: bytes) -> None:
    built = work.build()
    Path(built.location).with_suffix(".json").write_bytes(damage)
    assert work.images.find(work.request()) is None


def test_an_image_that_was_changed_is_not_used(work: Workbench) -> None:
    built = work.build()
    Path(built.location).write_bytes(qcow2(b"wh0le"))
    assert work.images.find(work.request()) is None
    assert work.build().checksum == built.checksum


def test_an_image_that_was_only_touched_is_verified_once(work: Workbench) -> None:
    built = work.build()
    os.utime(built.location)
    assert work.images.find(work.request()) == built
    seal = json.loads(Path(built.location).with_suffix(".json").read_text())["seal"]
    assert seal["mtime_ns"] == Path(built.location).stat().st_mtime_ns


def test_a_full_disk_is_told_before_the_build(work: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    work.images.bases.ensure("ubuntu-24.04", say=work.bench.say)
    usage = shutil.disk_usage(work.root)._replace(free=1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(PreconditionError, match="too full for a build") as caught:
        work.build()
    assert "--prune" in (caught.value.resolution or "")
    assert work.builds() == 0


# killed, interrupted, at once


# another process on the same machine; what it builds on is there already
_BUILDER = """
import sys
from pathlib import Path
from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Site, Vendor
from tests.unit.images.workbench import Workbench

site = Site()
site.start()
Workbench(Bench(Path(sys.argv[1]), Vendor(site, None)), fresh=False).build()
"""


def test_a_killed_build_is_ended_cleaned_and_done_again(work: Workbench) -> None:
    work.images.bases.ensure("ubuntu-24.04", say=work.bench.say)
    work.told(hangs=True)
    builder = subprocess.Popen(
        [sys.executable, "-c", _BUILDER, work.bench.folder], cwd=Path(__file__).parents[3]
    )
    pids = waited_for(work.bin / "pids", builder)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    assert all(runs(pid) for pid in pids)
    assert work.images.find(work.request()) is None
    assert work.files("work") != []

    work.told()
    built = work.build()

    assert not any(runs(pid) for pid in pids)
    assert "cut off" in work.bench.say.text
    assert built == work.images.find(work.request())
    assert work.files("work") == []


def test_what_a_killed_build_of_another_image_left_is_cleaned_too(work: Workbench) -> None:
    other = work.bench.folder / "work" / "qemu-k3s-base-debian-12-0123456789ab"
    other.mkdir(parents=True)
    (other / "half").write_text("made")
    work.build()
    assert work.files("work") == []


# stands in for a Packer of a zave that is gone: it holds the survivors file, as all that zave starts does
_ORPHAN = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_SH)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("zave_lives", [False, True])
def test_programs_of_a_killed_build_of_another_image_are_ended_and_a_living_ones_are_not(
    work: Workbench, zave_lives: bool
) -> None:
    folder = work.bench.folder / "work"
    other = folder / "qemu-k3s-base-debian-12-0123456789ab"
    other.mkdir(parents=True)
    with (folder / f"{other.name}.lock").open("w") as lock:
        if zave_lives:
            fcntl.flock(lock, fcntl.LOCK_EX)
        orphan = subprocess.Popen(
            [sys.executable, "-c", _ORPHAN, folder / f"{other.name}.survivors"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with orphan:
            assert orphan.stdout is not None
            orphan.stdout.readline()
            work.build()
            assert (orphan.poll() is None, other.exists()) == (zave_lives, zave_lives)
            assert ("was cut off" in work.bench.say.text) is not zave_lives
            orphan.kill()


def waited_for(file: Path, builder: "subprocess.Popen[bytes]") -> list[int]:
    """The pids that the made-up Packer writes once it is at work."""
    while True:
        text = file.read_text() if file.exists() else ""
        if len(text.split()) == 2:
            return [int(word) for word in text.split()]
        assert builder.poll() is None, "the build ended before it was killed"
        threading.Event().wait(0.01)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


def test_an_interrupted_build_leaves_nothing(work: Workbench) -> None:
    work.told(hangs=True)

    def say(text: str, fraction: float | None) -> None:
        del fraction
        if "harden-os" in text:
            work.runner.interrupt()

    with pytest.raises(InterruptedRunError):
        work.images.build(work.request(), say=say)
    assert (work.files("work"), work.files("built")) == ([], [])
    assert not any(runs(int(pid)) for pid in read_if_there(work.bin / "pids").split())


def read_if_there(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_two_builds_of_one_image_at_once_make_one(work: Workbench) -> None:
    found: list[Artifact] = []
    threads = [threading.Thread(target=lambda: found.append(work.build())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert work.builds() == 1
    assert "another zave works on" in work.bench.say.text


# listed, removed


def test_images_are_listed_newest_first_and_removed_with_all_of_theirs(work: Workbench) -> None:
    built = work.build()
    work.bench.clock.sleep(60)
    (work.image / "scripts" / "harden-os.sh").write_text("#!/bin/sh\nset -eu\n")
    newer = work.build()

    listed = work.all.list()
    assert [image.name for image in listed if image.name.startswith("zave-")] == [newer.name, built.name]
    assert len(listed) == 3

    for image in listed:
        work.all.remove(image)
        work.all.remove(image)
    assert work.all.list() == []
    assert (work.files("built"), work.files("vendor")) == ([], [])


def test_a_file_of_ones_own_is_never_removed(work: Workbench, tmp_path: Path) -> None:
    own = tmp_path / "own.qcow2"
    own.write_bytes(qcow2(b"own"))
    work.images.pin("debian-12", source=own, say=work.bench.say)
    request = work.request(source="cloud", base="debian-12")
    image = work.images.build(request, say=work.bench.say)

    assert image.location == str(own)
    assert [i for i in work.all.list() if i.location == str(own)] == []
    with pytest.raises(UsageError, match="not an image that zave keeps"):
        work.all.remove(image)
    assert own.exists()


def test_amis_are_refused_where_no_account_is_at_hand(work: Workbench) -> None:
    with pytest.raises(PreconditionError, match="AWS account"):
        work.all.build(work.request(builder="amazon-ebs"), say=work.bench.say)
