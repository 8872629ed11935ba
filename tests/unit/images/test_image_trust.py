"""Whose checksums are believed, and what is pinned."""

import dataclasses
import threading
from pathlib import Path

import pytest

from tests.unit.images.conftest import Bench
from tests.unit.images.vendors import Signer, Site, Vendor, qcow2
from zave.errors import StepFailedError, UsageError
from zave.images.vendor import PUBLICATIONS, checksum_in, publication_of

BASE = "ubuntu-24.04"


def test_first_use_verifies_the_signature_and_pins_the_dated_build(bench: Bench, vendor: Vendor) -> None:
    pin, kept = bench.bases.ensure(BASE, say=bench.say)

    assert kept.path.read_bytes() == vendor.image
    assert pin == bench.lock.get(BASE)
    assert pin.checksum == vendor.checksum
    assert (pin.serial, pin.first_used, pin.size) == ("20261101", "2026-11-23", len(vendor.image))
    assert pin.url == f"{vendor.site.url}/noble/20261101/noble-20261101.img"
    assert vendor.signer is not None
    assert vendor.signer.fingerprint in pin.verified_by
    assert "pinned in" in bench.say.text


def test_rolling_folder_serves_where_the_dated_one_is_gone(bench: Bench, vendor: Vendor) -> None:
    for path in [path for path in vendor.site.files if "/20261101/" in path]:
        del vendor.site.files[path]

    pin, _ = bench.bases.ensure(BASE, say=bench.say)

    assert (pin.serial, pin.url) == ("", f"{vendor.site.url}/noble/current/noble.img")


def test_a_vendor_without_signature_is_believed_once_and_that_is_said(
    tmp_path: Path, unsigned: Vendor
) -> None:
    bench = Bench(tmp_path, unsigned)

    pin, _ = bench.bases.ensure(BASE, say=bench.say)

    assert "publishes no signature" in bench.say.text
    assert pin.verified_by == "no signature is published: https alone, on first use"


def test_another_keys_signature_is_refused(bench: Bench, vendor: Vendor, tmp_path: Path) -> None:
    stranger = Signer.make(tmp_path / "stranger", "stranger")
    sums = vendor.site.files["/noble/20261101/SHA256SUMS"]
    vendor.site.files["/noble/20261101/SHA256SUMS.gpg"] = stranger.sign(sums)

    with pytest.raises(StepFailedError, match="another key signed it"):
        bench.bases.ensure(BASE, say=bench.say)

    assert bench.lock.get(BASE) is None
    assert not vendor.site.fetched(".img")


def test_a_key_server_that_hands_out_another_key_changes_nothing(
    bench: Bench, vendor: Vendor, tmp_path: Path
) -> None:
    assert vendor.signer is not None
    stranger = Signer.make(tmp_path / "stranger", "stranger")
    files = vendor.site.files
    files["/noble/20261101/SHA256SUMS.gpg"] = stranger.sign(files["/noble/20261101/SHA256SUMS"])
    files[f"/keys/lookup?search={vendor.signer.fingerprint}"] = stranger.public(armor=True)

    with pytest.raises(StepFailedError, match="another key signed it"):
        bench.bases.ensure(BASE, say=bench.say)

    assert not (bench.folder / "keys").exists()


def test_checksums_changed_after_signing_are_refused(bench: Bench, vendor: Vendor) -> None:
    vendor.site.files["/noble/20261101/SHA256SUMS"] += b"# harmless\n"

    with pytest.raises(StepFailedError, match="changed after it was signed") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    assert caught.value.exit_code == 1
    assert "nothing was downloaded" in (caught.value.resolution or "")


def test_a_missing_signature_is_not_taken_for_an_unsigned_vendor(bench: Bench, vendor: Vendor) -> None:
    del vendor.site.files["/noble/20261101/SHA256SUMS.gpg"]

    with pytest.raises(StepFailedError, match="has no signature"):
        bench.bases.ensure(BASE, say=bench.say)


def test_an_expired_key_is_refused_until_a_renewed_copy_is_there(
    tmp_path: Path, site: Site, signer: Signer
) -> None:
    old = Signer.make(tmp_path / "old", "old", expires="20210101T000000", past="20200101")
    vendor = Vendor(site, old)
    vendor.publish()
    bench = Bench(tmp_path / "zave", vendor)

    with pytest.raises(StepFailedError, match="expired"):
        bench.bases.ensure(BASE, say=bench.say)

    # what is kept or installed has expired; the key server has the renewed one
    keyring = tmp_path / "installed.gpg"
    keyring.write_bytes(old.public())
    old.renew()
    site.files[f"/keys/lookup?search={old.fingerprint}"] = old.public()
    publication = dataclasses.replace(vendor.publication, keyrings=(str(keyring),))
    publisher = dataclasses.replace(bench.publisher, publications=(publication,))
    assert publisher.resolve(BASE, say=bench.say).checksum == vendor.checksum
    assert (bench.folder / "keys" / f"{old.fingerprint}.gpg").read_bytes() == old.public()


def test_a_revoked_key_is_refused(tmp_path: Path, site: Site) -> None:
    gone = Signer.make(tmp_path / "gone", "gone")
    vendor = Vendor(site, gone)
    vendor.publish()
    gone.revoke()
    site.files[f"/keys/lookup?search={gone.fingerprint}"] = gone.public()

    with pytest.raises(StepFailedError, match="revoked"):
        Bench(tmp_path / "zave", vendor).bases.ensure(BASE, say=lambda *_: None)


def test_an_installed_keyring_needs_no_key_server(bench: Bench, vendor: Vendor, tmp_path: Path) -> None:
    assert vendor.signer is not None
    keyring = tmp_path / "installed.gpg"
    keyring.write_bytes(vendor.signer.public())
    publication = dataclasses.replace(vendor.publication, keyrings=(str(keyring),))

    dataclasses.replace(bench.publisher, publications=(publication,)).resolve(BASE, say=bench.say)

    assert not vendor.site.fetched(vendor.signer.fingerprint)


def test_a_key_that_proved_good_is_kept(bench: Bench, vendor: Vendor) -> None:
    assert vendor.signer is not None
    bench.bases.update(BASE, say=bench.say)
    bench.bases.update(BASE, say=bench.say)

    assert vendor.site.fetched(vendor.signer.fingerprint) == 1
    assert "the pinned image is the one that is published" in bench.say.text


def test_without_any_copy_of_the_key_nothing_is_believed(bench: Bench, vendor: Vendor) -> None:
    assert vendor.signer is not None
    del vendor.site.files[f"/keys/lookup?search={vendor.signer.fingerprint}"]

    with pytest.raises(StepFailedError, match="cannot be had") as caught:
        bench.bases.ensure(BASE, say=bench.say)

    assert "ubuntu-cloudimage-keyring" in (caught.value.resolution or "")


def test_lock_stands_against_a_vendor_that_publishes_something_else(bench: Bench, vendor: Vendor) -> None:
    first, kept = bench.bases.ensure(BASE, say=bench.say)
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()

    again, same = bench.bases.ensure(BASE, say=bench.say)

    assert (again, same.path) == (first, kept.path)


def test_another_machine_gets_the_pinned_build_from_its_dated_folder(
    bench: Bench, vendor: Vendor, tmp_path: Path
) -> None:
    bench.bases.ensure(BASE, say=bench.say)
    first = vendor.image
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()
    other = Bench(tmp_path / "other", vendor)
    other.lock.put(bench.lock.pins()[BASE])

    _, kept = other.bases.ensure(BASE, say=other.say)

    assert kept.path.read_bytes() == first


def test_replaced_rolling_image_is_told_before_it_is_downloaded(tmp_path: Path, unsigned: Vendor) -> None:
    unsigned.serial = ""
    unsigned.site.files.clear()
    unsigned.publish()
    bench = Bench(tmp_path / "one", unsigned)
    bench.bases.ensure(BASE, say=bench.say)
    unsigned.image = qcow2(b"the second build")
    unsigned.publish()
    other = Bench(tmp_path / "other", unsigned)
    other.lock.put(bench.lock.pins()[BASE])
    before = unsigned.site.fetched("noble.img")

    with pytest.raises(StepFailedError, match=r"not what images\.lock pins") as caught:
        other.bases.ensure(BASE, say=other.say)

    assert unsigned.site.fetched("noble.img") == before
    assert "--update" in (caught.value.resolution or "")


def test_update_pins_what_is_published_now(bench: Bench, vendor: Vendor) -> None:
    bench.bases.ensure(BASE, say=bench.say)
    vendor.image, vendor.serial = qcow2(b"the second build"), "20261115"
    vendor.publish()

    pin = bench.bases.update(BASE, say=bench.say)

    assert pin.checksum == vendor.checksum
    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == vendor.image


def test_unknown_base_names_those_that_are_known(bench: Bench) -> None:
    with pytest.raises(UsageError, match="does not know where") as caught:
        bench.bases.ensure("plan9-4", say=bench.say)
    assert BASE in (caught.value.resolution or "")


def test_two_first_uses_at_once_make_one_pin_and_one_download(bench: Bench, vendor: Vendor) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(bench.bases.ensure(BASE, say=bench.say)[1].path))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1
    assert vendor.site.fetched(".img") == 1


# a file of one's own, machines without internet


def test_a_file_of_ones_own_is_pinned_and_stays_where_it_is(bench: Bench, tmp_path: Path) -> None:
    own = tmp_path / "own image.qcow2"
    own.write_bytes(qcow2(b"own"))

    bench.bases.adopt("debian-12", own, say=bench.say)
    pin, kept = bench.bases.ensure("debian-12", say=bench.say)

    assert (pin.own_file, kept.path) == (own, own)
    assert pin.size == own.stat().st_size
    own.write_bytes(qcow2(b"changed"))
    with pytest.raises(StepFailedError, match="is not the file") as caught:
        bench.bases.ensure("debian-12", say=bench.say)
    assert "--source" in (caught.value.resolution or "")
    own.unlink()
    with pytest.raises(StepFailedError, match="is not there"):
        bench.bases.ensure("debian-12", say=bench.say)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"#!/bin/sh\n", "not an image in qcow2"),
        (b"", "not an image in qcow2"),
        (qcow2(backing=512), "refers to another file"),
    ],
)
def test_what_is_no_whole_qcow2_cannot_be_pinned(
    bench: Bench, tmp_path: Path, content: bytes, problem: str
) -> None:
    (tmp_path / "own.qcow2").write_bytes(content)
    with pytest.raises(StepFailedError, match=problem):
        bench.bases.adopt(BASE, tmp_path / "own.qcow2", say=bench.say)
    assert bench.lock.pins() == {}


def artifacts_of(vendor: Vendor, folder: Path) -> Path:
    """A folder with what the vendor publishes, for machines without internet."""
    place = folder / "images" / BASE
    place.mkdir(parents=True)
    for name in ("noble.img", "SHA256SUMS", "SHA256SUMS.gpg"):
        (place / name).write_bytes(vendor.site.files[f"/noble/current/{name}"])
    assert vendor.signer is not None
    (place / "key.gpg").write_bytes(vendor.signer.public(armor=True))
    return folder


def test_a_machine_without_internet_takes_all_of_it_from_a_folder(
    tmp_path: Path, bench: Bench, vendor: Vendor
) -> None:
    bench.artifacts = artifacts_of(vendor, tmp_path / "artifacts")

    pin, kept = bench.bases.ensure(BASE, say=bench.say)

    assert kept.path.read_bytes() == vendor.image
    assert pin.url == f"{vendor.site.url}/noble/current/noble.img"
    assert vendor.site.asked == []


def test_a_mirror_serves_the_same_files(tmp_path: Path, bench: Bench, vendor: Vendor) -> None:
    for name in ("noble.img", "SHA256SUMS", "SHA256SUMS.gpg"):
        vendor.site.files[f"/mirror/images/{BASE}/{name}"] = vendor.site.files[f"/noble/current/{name}"]
    bench.artifacts = f"{vendor.site.url}/mirror/"

    assert bench.bases.ensure(BASE, say=bench.say)[1].path.read_bytes() == vendor.image
    assert not [path for path in vendor.site.paths() if path.startswith("/noble")]


def test_an_altered_image_in_the_folder_is_refused(tmp_path: Path, bench: Bench, vendor: Vendor) -> None:
    bench.artifacts = artifacts_of(vendor, tmp_path / "artifacts")
    (tmp_path / "artifacts" / "images" / BASE / "noble.img").write_bytes(qcow2(b"altered"))

    with pytest.raises(StepFailedError, match=r"not what images\.lock pins"):
        bench.bases.ensure(BASE, say=bench.say)
    assert bench.bases.find(BASE) is None


def test_a_folder_without_the_image_says_what_belongs_there(tmp_path: Path, bench: Bench) -> None:
    bench.artifacts = tmp_path / "empty"
    with pytest.raises(StepFailedError, match="no checksum") as caught:
        bench.bases.ensure(BASE, say=bench.say)
    assert f"images/{BASE}" in (caught.value.resolution or "")


# what vendors publish


def test_every_published_base_is_on_https_and_says_what_proves_it() -> None:
    assert [p.base for p in PUBLICATIONS] == ["debian-12", "ubuntu-22.04", "ubuntu-24.04"]
    for publication in PUBLICATIONS:
        assert publication_of(publication.base) is publication
        assert publication.rolling.startswith("https://")
        assert publication.dated.startswith("https://")
        assert (publication.signature is None) == (publication.vendor == "Debian")
    assert publication_of("ubuntu-22.04").fingerprint == "D2EB44626FDDC30B513D5BB71A5D6C4C7DB87C81"


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        (f"{'a' * 64} *x.img\n", "a" * 64),
        (f"{'A' * 64}  x.img\r\n", "a" * 64),
        (f"{'a' * 64} *x.img\n{'a' * 64} *x.img\n", "a" * 64),
        (f"{'a' * 64} *x.img\n{'b' * 64} *x.img\n", None),
        (f"{'a' * 64} *y/x.img\n", None),
        (f"{'a' * 63} *x.img\n", None),
        (f"{'a' * 64} *xzimg\n", None),
        ("", None),
    ],
)
def test_checksum_is_read_as_sha256sum_writes_it(sums: str, expected: str | None) -> None:
    assert checksum_in(sums, "x.img", "sha256") == expected
