"""A pinned build that its vendor has removed or replaced: what is told, and each way on."""

import shutil

import pytest

from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Trouble, Vendor, qcow2
from zave.errors import StepFailedError
from zave.images.cache import name_of as pin_name

BASE = "ubuntu-24.04"
IMAGE = "/noble/20261101/noble-20261101.img"


@pytest.fixture
def gone(bench: Bench, vendor: Vendor) -> Vendor:
    """The vendor, which has removed the pinned build and published another; nothing of it is here."""
    kept = bench.bases.ensure(BASE, say=bench.say)[1]
    kept.path.rename(bench.folder.parent / kept.path.name)
    kept.path.with_suffix(".json").unlink()
    vendor.site.files.clear()
    vendor.image, vendor.serial = qcow2(b"the second build, and a longer one"), "20261115"
    vendor.publish()
    return vendor


def test_a_build_that_its_vendor_removed_is_named_with_the_ways_on(bench: Bench, gone: Vendor) -> None:
    pin = bench.bases.pinned(BASE)
    assert pin is not None

    with pytest.raises(StepFailedError, match=r"build 20261101\) cannot be had") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    told, ways = caught.value.details or "", caught.value.resolution or ""
    assert pin.literal in told
    assert "2026-11-23" in told
    assert "noble-20261101.img" in told
    assert caught.value.where == f"{gone.site.url}/noble/20261101"
    assert f"--base {BASE} --update`" in ways
    assert f"--base {BASE} --source FILE`" in ways
    assert f"to {bench.folder / 'vendor' / pin_name(pin)}.qcow2" in ways
    assert f"as noble-20261101.img into images/{BASE} of `artifacts`" in ways


def test_each_way_on_is_one(bench: Bench, gone: Vendor) -> None:
    pin = bench.bases.pinned(BASE)
    assert pin is not None
    kept = bench.folder / "vendor" / f"{pin_name(pin)}.qcow2"
    copy = bench.folder.parent / kept.name

    shutil.copy(copy, kept)
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == copy.read_bytes()

    bench.bases.cache.remove(pin_name(pin), say=bench.say)
    shelf = bench.folder.parent / "artifacts" / "images" / BASE
    shelf.mkdir(parents=True)
    shutil.copy(copy, shelf / "noble-20261101.img")
    bench.artifacts = shelf.parents[1]
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == copy.read_bytes()

    bench.artifacts = None
    bench.bases.update(BASE, say=bench.say)
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == gone.image
    bench.bases.adopt(BASE, copy, say=bench.say)
    assert bench.bases.ensure(BASE, say=bench.say)[1].path == copy


def test_artifacts_have_a_pinned_image_under_its_vendors_present_name_too(bench: Bench, gone: Vendor) -> None:
    """An online machine pinned `...-<serial>.qcow2`; the documents tell to put the file there without it."""
    del gone
    pin = bench.bases.pinned(BASE)
    assert pin is not None
    bench.artifacts = bench.folder.parent / "artifacts"
    shelf = bench.artifacts / "images" / BASE
    shelf.mkdir(parents=True)

    with pytest.raises(StepFailedError, match="cannot be had") as caught:
        bench.bases.ensure(BASE, say=bench.say)
    told = caught.value.details or ""
    assert "noble-20261101.img cannot be read" in told
    assert "noble.img cannot be read" in told

    copy = bench.folder.parent / f"{pin_name(pin)}.qcow2"
    shutil.copy(copy, shelf / "noble.img")
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == copy.read_bytes()


@pytest.mark.parametrize("silent", [False, True])
def test_a_longer_image_in_its_place_is_another_one(bench: Bench, gone: Vendor, silent: bool) -> None:
    gone.site.files[IMAGE] = gone.image
    gone.site.troubles[IMAGE] = Trouble(times=0, silent=silent)

    with pytest.raises(StepFailedError, match=r"not what images\.lock pins") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    assert "--update" in (caught.value.resolution or "")
    assert not list((bench.folder / "vendor").glob("*.part"))


def test_a_longer_image_in_the_artifacts_is_another_one(bench: Bench, gone: Vendor) -> None:
    bench.artifacts = bench.folder.parent / "artifacts"
    shelf = bench.artifacts / "images" / BASE
    shelf.mkdir(parents=True)
    (shelf / "noble.img").write_bytes(gone.image)
    with pytest.raises(StepFailedError, match=r"not what images\.lock pins"):
        bench.bases.ensure(BASE, say=bench.say)
