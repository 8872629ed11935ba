"""The file that virtlogd keeps of a console, followed while virtlogd writes and rotates it."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from zave.hypervisor.serial import LocalLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "web-console.log"
    path.write_bytes(b"boot\n")
    return path


@pytest.fixture
def log(path: Path) -> Iterator[LocalLog]:
    log = LocalLog(path)
    yield log
    log.close()


def _append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_what_was_kept_comes_first_then_what_is_written(path: Path, log: LocalLog) -> None:
    chunks = log.chunks()
    assert list(itertools.islice(chunks, 2)) == [b"boot\n", b""]
    _append(path, b"login:")
    assert list(itertools.islice(chunks, 2)) == [b"login:", b""]
    assert log.kept == len(b"boot\n")


def test_older_pieces_come_before_newer_ones(path: Path) -> None:
    for number, text in enumerate((b"third\n", b"second\n", b"first\n")):
        path.with_name(f"{path.name}.{number}").write_bytes(text)
    log = LocalLog(path)
    assert b"".join(log.rest()) == b"first\nsecond\nthird\nboot\n"
    assert log.kept == len(b"first\nsecond\nthird\nboot\n")
    log.close()


def test_rotation_loses_nothing(path: Path, log: LocalLog) -> None:
    chunks = log.chunks()
    assert next(chunks) == b"boot\n"
    # written after the last look, before virtlogd put the file aside
    _append(path, b"last of the old\n")
    path.rename(path.with_name(f"{path.name}.0"))
    path.write_bytes(b"first of the new\n")
    assert b"".join(itertools.islice(chunks, 2)) == b"last of the old\nfirst of the new\n"


def test_rotation_under_way_is_waited_for(path: Path, log: LocalLog) -> None:
    chunks = log.chunks()
    assert next(chunks) == b"boot\n"
    path.rename(path.with_name(f"{path.name}.0"))
    assert next(chunks) == b""
    path.write_bytes(b"new\n")
    assert next(chunks) == b"new\n"


def test_large_logs_are_read_in_pieces(path: Path, log: LocalLog) -> None:
    _append(path, os.urandom(1 << 20))
    chunks = list(log.rest())
    assert sum(map(len, chunks)) == len(b"boot\n") + (1 << 20)
    assert max(map(len, chunks)) <= 64 * 1024


def test_only_a_file_is_read(tmp_path: Path, path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(path)
    for name in ("pipe", "link", "nothing"):
        with pytest.raises(OSError, match=name):
            LocalLog(tmp_path / name)
