"""A console's log that only libvirtd may read, while virtlogd writes and rotates it."""

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tests.system.libvirtd import Libvirtd
from zave.errors import StepFailedError
from zave.hypervisor.connection import Connection
from zave.hypervisor.serial import DistantLog

pytestmark = pytest.mark.machine


@pytest.fixture
def connection(libvirt_host: Libvirtd) -> Iterator[Connection]:
    connection = Connection(libvirt_host.uri)
    yield connection
    connection.close()


@pytest.fixture
def path(libvirt_host: Libvirtd) -> Path:
    folder = libvirt_host.logs / uuid.uuid4().hex
    folder.mkdir()
    path = folder / "web & db-console.log"
    path.write_bytes(b"boot\n")
    return path


def _log(connection: Connection, path: Path) -> DistantLog:
    return DistantLog(connection, PurePosixPath(path))


def _append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def _pools(connection: Connection) -> list[str]:
    return [pool.name() for pool in connection.use().listAllStoragePools(0)]


def test_what_was_kept_comes_first_then_what_is_written(connection: Connection, path: Path) -> None:
    path.with_name(f"{path.name}.0").write_bytes(b"earlier\n")
    before = _pools(connection)
    log = _log(connection, path)
    chunks = log.chunks()
    assert list(itertools.islice(chunks, 3)) == [b"earlier\n", b"boot\n", b""]
    assert log.kept == len(b"earlier\nboot\n")
    _append(path, b"login:")
    assert list(itertools.islice(chunks, 2)) == [b"login:", b""]
    log.close()
    assert _pools(connection) == before


def test_rotation_loses_nothing(connection: Connection, path: Path) -> None:
    log = _log(connection, path)
    chunks = log.chunks()
    assert next(chunks) == b"boot\n"
    _append(path, b"last of the old\n")
    path.rename(path.with_name(f"{path.name}.0"))
    path.write_bytes(b"new\n")
    assert b"".join(itertools.islice(chunks, 2)) == b"last of the old\nnew\n"
    log.close()


def test_large_logs_come_in_pieces(connection: Connection, path: Path) -> None:
    # what a guest writes may look like a disk image of 8 EiB with a backing file
    image = b"QFI\xfb\0\0\0\3" + b"\0\0\0\0\0\0\0\x48\0\0\0\x0b" + b"\0\0\0\x10" + b"\x7f" * 16
    text = image + b"x" * (1 << 20)
    path.write_bytes(text)
    log = _log(connection, path)
    chunks = list(log.rest())
    assert b"".join(chunks) == text
    assert max(map(len, chunks)) <= 64 * 1024
    log.close()


def test_readers_at_once_do_not_end_one_another(connection: Connection, path: Path) -> None:
    first, second = _log(connection, path), _log(connection, path)
    chunks = second.chunks()
    assert next(chunks) == b"boot\n"
    first.close()
    _append(path, b"more\n")
    assert next(chunks) == b"more\n"
    second.close()
    assert [name for name in _pools(connection) if name.startswith("console-zave-")] == []


def test_pool_that_a_killed_reader_left_is_used_and_taken_down(connection: Connection, path: Path) -> None:
    connection.use().storagePoolCreateXML(_described(f"console-zave-{uuid.uuid4().hex[:12]}", path.parent), 0)
    log = _log(connection, path)
    assert b"".join(log.rest()) == b"boot\n"
    log.close()
    assert [name for name in _pools(connection) if name.startswith("console-zave-")] == []


def test_pool_of_somebody_elses_is_used_and_left_alone(connection: Connection, path: Path) -> None:
    pool: Any = connection.use().storagePoolCreateXML(_described("logs-of-mine", path.parent), 0)
    log = _log(connection, path)
    assert b"".join(log.rest()) == b"boot\n"
    log.close()
    assert pool.isActive()
    pool.destroy()


def _described(name: str, folder: Path) -> str:
    return f"<pool type='dir'><name>{name}</name><target><path>{folder}</path></target></pool>"


@pytest.mark.parametrize("name", ["nothing.log", "nowhere/console.log"])
def test_log_that_is_not_there_is_told_and_leaves_no_pool(
    connection: Connection, path: Path, name: str
) -> None:
    before = _pools(connection)
    with pytest.raises(StepFailedError):
        _log(connection, path.parent / name)
    assert _pools(connection) == before
