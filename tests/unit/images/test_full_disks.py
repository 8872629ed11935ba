"""Disks that are full, and what they and killed builds leave: told with the way on, shown, pruned."""

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.images.vendors import qcow2
from tests.unit.images.workbench import Workbench
from zave.errors import ToolFailedError
from zave.images.builder import AllImages
from zave.images.cache import name_of
from zave.lifecycle.build_image import remove_images

# a disk that takes no byte more: what is there can be read and renamed
_FULL = """
import json, resource, sys
from pathlib import Path
from zave.errors import ZaveError
from zave.images.store import Provenance, Store
values = {"lynis": 80, "packages": ["adduser 3.134 all"]}
text = ("image", "base", "base_checksum", "base_verified_by", "fingerprint", "scripts_sha256", "built_at")
words = dict.fromkeys([*text, "packer", "kernel", "lynis_version"], "x")
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
store = Store(folder / "built", lambda: False)
try:
    store.add("zave-k3s-base-debian-12-0123456789ab", folder / "disk.qcow2", Provenance(**words, **values))
except ZaveError as error:
    print(json.dumps([int(error.exit_code), error.brief, error.where, error.resolution]))
"""


def test_an_image_that_finds_no_room_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk.qcow2").write_bytes(qcow2(b"whole"))
    done = subprocess.run([sys.executable, "-c", _FULL, tmp_path], capture_output=True, text=True, check=True)
    code, brief, where, resolution = json.loads(done.stdout)
    assert code == 5
    assert brief.startswith("zave-k3s-base-debian-12-0123456789ab cannot be kept: the file would be larger")
    assert where == str(tmp_path / "built")
    assert "zave build-image --prune" in resolution
    assert list((tmp_path / "built").iterdir()) == []


_FIND = """
import resource, sys
from pathlib import Path
from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Site, Vendor
from tests.unit.images.workbench import Workbench

site = Site()
site.start()
work = Workbench(Bench(Path(sys.argv[1]), Vendor(site, None)), fresh=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(work.images.find(work.request()) is not None, work.bench.bases.find("ubuntu-24.04") is not None)
"""


def test_a_full_disk_keeps_nobody_from_using_an_image(work: Workbench) -> None:
    """It was touched, or its note is gone: it is verified, and that cannot be written down."""
    built = Path(work.build().location)
    built.touch()
    for note in (work.bench.folder / "vendor").glob("*.json"):
        note.unlink()
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _FIND, work.bench.folder], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True True\n"


@pytest.mark.parametrize(("free", "full"), [((64 << 20) - 1, True), (64 << 20, False)])
def test_a_packer_that_failed_on_a_full_disk_is_told_as_that(
    work: Workbench, monkeypatch: pytest.MonkeyPatch, free: int, full: bool
) -> None:
    work.images.bases.ensure("ubuntu-24.04", say=work.bench.say)
    work.told(code=1)
    usage = shutil.disk_usage(work.root)
    # room enough before the build
    seen = iter([usage._replace(free=1 << 40)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: next(seen, usage._replace(free=free)))
    with pytest.raises(ToolFailedError, match="packer build failed") as caught:
        work.build()
    assert caught.value.brief.endswith(": the disk is full") is full
    assert ("zave build-image --prune" in (caught.value.resolution or "")) is full
    assert (caught.value.where or "").endswith(".log")


# what is left


def everything(work: Workbench) -> AllImages:
    return AllImages(work.images)


def prune(work: Workbench) -> None:
    images = everything(work)
    remove_images([], images, leftovers=images.leftovers())


def test_a_disk_without_a_manifest_is_a_leftover_and_goes(work: Workbench) -> None:
    built = Path(work.build().location)
    assert everything(work).leftovers() == []
    built.with_suffix(".json").unlink()
    own = built.with_name("mine.qcow2")
    own.write_bytes(qcow2(b"own"))

    [leftover] = everything(work).leftovers()
    assert (leftover.location, leftover.size) == (str(built), built.stat().st_size)
    assert leftover.why == "a disk without a manifest"
    prune(work)

    assert not built.exists()
    assert own.exists()
    assert everything(work).leftovers() == []


def test_a_disk_that_somebody_takes_in_just_now_is_no_leftover(work: Workbench) -> None:
    built = Path(work.build().location)
    manifest = built.with_suffix(".json")
    content = manifest.read_bytes()
    manifest.unlink()
    images = everything(work)
    [leftover] = images.leftovers()
    [lock] = (work.bench.folder / "work").glob("qemu-*.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert images.leftovers() == []
        images.discard(leftover)
        assert built.exists()
    # and it has become an image since it was listed
    manifest.write_bytes(content)
    images.discard(leftover)
    assert work.images.find(work.request()) is not None


def test_downloads_of_what_is_no_longer_pinned_go_and_those_that_are_gone_on_with_stay(
    work: Workbench,
) -> None:
    pin, kept = work.bench.bases.ensure("ubuntu-24.04", say=work.bench.say)
    vendor, folder = work.bench.vendor, kept.path.parent
    # an earlier pin's download, cut off before `--update`; and one that came whole and was never noted
    old = [folder / f"ubuntu-24.04-{'0' * 12}.part", folder / f"ubuntu-24.04-{'1' * 12}.qcow2"]
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()
    present = work.bench.bases.update("ubuntu-24.04", say=work.bench.say)
    wanted = [folder / f"{name_of(present)}.part", folder / f"{name_of(present)}.qcow2"]
    for file in (*old, *wanted):
        file.write_bytes(qcow2(b"half"))

    found = everything(work).leftovers()
    assert sorted(leftover.location for leftover in found) == sorted(map(str, old))
    assert {leftover.why for leftover in found} == {"fetched for a pin that is no more"}
    prune(work)

    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in wanted)
    # the former pin's image is an image: its kind and `--keep` decide
    assert kept.path.exists()
    assert pin != present


def test_nothing_counts_as_unwanted_where_the_pins_cannot_be_read(work: Workbench) -> None:
    work.bench.bases.ensure("ubuntu-24.04", say=work.bench.say)
    (work.bench.folder / "vendor" / f"ubuntu-24.04-{'0' * 12}.part").write_bytes(b"half")
    work.bench.lock.path.write_text("damaged")
    assert everything(work).leftovers() == []
