"""What a program needs is read from its headers: nothing that would not run in the cloud is taken along."""

import sys
from pathlib import Path

import pytest

from tests.unit.aws.elf_files import shared_object
from zave.aws.elf import X86_64, Needs, needs


def _needs(folder: Path, content: bytes) -> object:
    (folder / "x").write_bytes(content)
    return needs(folder / "x")


def test_the_newest_glibc_that_is_asked_for_counts(tmp_path: Path) -> None:
    content = shared_object(
        glibc=("GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.2.5"), libraries=("libc.so.6", "libm.so.6")
    )
    found = _needs(tmp_path, content)
    assert found == Needs(X86_64, (2, 34), ("libc.so.6", "libm.so.6"))


def test_other_versions_are_none_of_glibc(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(shared_object(glibc=("GLIBCXX_3.4.30", "GLIBC_PRIVATE")))
    found = needs(tmp_path / "x")
    assert found is not None
    assert found.glibc is None


def test_another_machine_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(shared_object(machine=183))
    found = needs(tmp_path / "x")
    assert found is not None
    assert found.machine != X86_64


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fEL"])
def test_what_is_no_elf_file_needs_nothing(content: bytes, tmp_path: Path) -> None:
    assert _needs(tmp_path, content) is None


@pytest.mark.parametrize("length", [5, 40, 70, 130, 200])
def test_a_file_that_was_cut_short_is_refused(length: int, tmp_path: Path) -> None:
    whole = shared_object(glibc=("GLIBC_2.34",), libraries=("libc.so.6",))
    (tmp_path / "x").write_bytes(whole[:length])
    with pytest.raises(ValueError, match="no whole ELF file"):
        needs(tmp_path / "x")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at a program of Linux")
def test_the_running_python_is_read_as_it_is() -> None:
    found = needs(Path(sys.executable).resolve())
    assert found is not None
    assert "libc.so.6" in found.libraries or found.libraries == ()
