"""`images.lock`: readable, sorted, and refused when it is damaged."""

import hashlib
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.errors import PreconditionError, UsageError
from zave.images.lock import FILE, ImagesLock, Pin
from zave.project import Project

BASE = "ubuntu-24.04"


def pin_of(base: str, **changes: object) -> Pin:
    values = {
        "base": base,
        "url": "https://example.org/x.img",
        "algorithm": "sha256",
        "checksum": hashlib.sha256(base.encode()).hexdigest(),
        "verified_by": 'somebody "quoted" \\ and\nmore',
        "first_used": "2026-11-23",
    }
    return Pin(**{**values, **changes})  # type: ignore[arg-type]


def test_lock_file_is_sorted_readable_and_comes_back_as_it_was(tmp_path: Path) -> None:
    lock = ImagesLock(tmp_path / FILE)
    pins = [pin_of("ubuntu-24.04", size=5, serial="20261101"), pin_of("debian-12")]
    for pin in pins:
        lock.put(pin)

    assert list(lock.pins().values()) == sorted(pins, key=lambda pin: pin.base)
    text = lock.path.read_text()
    assert text.index("debian-12") < text.index("ubuntu-24.04")
    assert lock.path.stat().st_mode & 0o777 == 0o644
    lock.put(pins[0])
    assert lock.path.read_text() == text


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[: len(text) // 2], "cannot be trusted"),
        (lambda text: text.replace("version = 1", "version = 2"), "version"),
        (lambda text: text.replace("version = 1", ""), "version"),
        (lambda text: text + "\n[[image]]\nbase = 'x'\n", "has no"),
        (lambda text: text + text.partition("version = 1")[2], "twice"),
        (lambda text: text.replace("first_used", "last_used"), "besides"),
        (lambda text: text.replace('checksum = "', 'checksum = "zz'), "no checksum"),
        (lambda text: text.replace('"sha256"', '"md5"'), "no checksum"),
        (lambda text: text.replace("https://", "ftp://"), "no URL"),
        (lambda text: text.replace('base = "', 'base = "../'), "no image"),
        (lambda text: text.replace('first_used = "2026-11-23"', "first_used = 2026-11-23"), "type"),
        (lambda text: text + "[more]\n", "unknown"),
        (lambda text: "\x00" * 10, "cannot be trusted"),
        (lambda text: "[" * 100_000, "cannot be trusted"),
    ],
)
def test_a_damaged_lock_file_is_refused_with_the_way_out(
    tmp_path: Path, damage: Callable[[str], str], why: str
) -> None:
    lock = ImagesLock(tmp_path / FILE)
    lock.put(pin_of(BASE))
    lock.path.write_text(damage(lock.path.read_text()))

    with pytest.raises(PreconditionError, match=why) as caught:
        lock.get(BASE)

    assert caught.value.exit_code == 5
    assert "restore it from git" in (caught.value.resolution or "")


def test_a_full_disk_keeps_the_old_lock_file(tmp_path: Path) -> None:
    lock = ImagesLock(tmp_path / FILE)
    lock.put(pin_of(BASE))
    before = lock.path.read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(PreconditionError, match="cannot be written"):
            lock.put(pin_of("debian-12"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lock.path.read_text() == before
    assert list(tmp_path.iterdir()) == [lock.path]


def test_a_name_that_no_image_can_have_is_not_pinned(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        ImagesLock(tmp_path / FILE).put(pin_of("../ubuntu"))
    assert not (tmp_path / FILE).exists()


def test_lock_file_is_in_the_project_where_there_is_one(tmp_path: Path) -> None:
    assert Project(tmp_path).lock_file(FILE, otherwise=tmp_path / "state") == tmp_path / FILE
    assert Project().lock_file(FILE, otherwise=tmp_path / "state") == tmp_path / "state" / FILE
    with pytest.raises(UsageError):
        Project().lock_file("../x", otherwise=tmp_path)
