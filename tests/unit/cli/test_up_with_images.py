"""`zave up` with images that are fetched: the adapters of real images in a rehearsed home lab."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Result, Zave
from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Site, Vendor, qcow2
from tests.unit.images.workbench import Workbench
from zave.cli.rehearsed import Rehearsed

pytestmark = pytest.mark.usefixtures("state")
IMAGE = "/noble/20261101/noble-20261101.img"


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor that has published an image."""
    site = Site()
    site.start()
    vendor = Vendor(site, None)
    vendor.publish()
    yield vendor
    site.stop()


@pytest.fixture
def bench(tmp_path: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A machine whose rehearsals fetch from the vendor, as no option lets them."""
    bench = Bench(tmp_path / "images", vendor)
    work, simulated = Workbench(bench), Rehearsed.tools

    def tools(rehearsed: Rehearsed, *where: Any) -> Any:
        return replace(simulated(rehearsed, *where), images=work.images)

    monkeypatch.setattr(Rehearsed, "tools", tools)
    return bench


def up(zave: Zave) -> Result:
    return zave("up", "homelab", "--rehearse", "--yes", "--speed", "0", "-o", "json")


def down(zave: Zave) -> Result:
    return zave("down", "homelab", "--rehearse", "--yes", "--speed", "0", "-o", "json")


def images_in(bench: Bench) -> list[str]:
    return [file.suffix for file in (bench.folder / "vendor").iterdir() if file.suffix != ".lock"]


def refused(result: Result) -> dict[str, Any]:
    assert result.status == 1, result.err
    error: dict[str, Any] = result.events[-1]["error"]
    return error


def test_up_refuses_an_image_with_another_checksum_and_down_works_afterwards(
    zave: Zave, bench: Bench, vendor: Vendor
) -> None:
    right = vendor.site.files[IMAGE]
    vendor.site.files[IMAGE] = right[:-1] + b"!"

    error = refused(up(zave))
    told = f"{error['brief']} {error['details']}"
    assert "ubuntu-24.04: what is published is not what images.lock pins" in told
    assert f"sha256:{vendor.checksum}" in told
    assert "--update" in error["resolution"]
    assert images_in(bench) == []

    ended = down(zave)
    assert ended.status == 0, ended.err
    assert ended.events[-1]["outcome"] == "done"

    vendor.site.files[IMAGE] = right
    assert up(zave).status == 0
    assert sorted(images_in(bench)) == [".json", ".qcow2"]
    assert down(zave).status == 0


def test_up_refuses_a_pinned_build_that_its_vendor_removed_and_goes_on_once_it_is_pinned_anew(
    zave: Zave, bench: Bench, vendor: Vendor
) -> None:
    bench.bases.update("ubuntu-24.04", say=bench.say)
    vendor.site.files.clear()
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()

    error = refused(up(zave))
    assert "build 20261101) cannot be had" in error["brief"]
    assert "--update" in error["resolution"]
    bench.bases.update("ubuntu-24.04", say=bench.say)
    assert up(zave).status == 0
    assert down(zave).status == 0
