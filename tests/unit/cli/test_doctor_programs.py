"""What `zave doctor` says of programs that only some verbs need."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Zave
from zave.images.lock import FILE, ImagesLock, Pin

SKOPEO = "#!/bin/sh\necho skopeo version 1.9.3\n"


@pytest.mark.parametrize("there", [True, False])
def test_skopeo_is_looked_for_and_never_needed(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if there:
        (programs / "skopeo").write_text(SKOPEO)
        (programs / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    found: dict[str, Any] = {
        each["check"]: each for each in zave("doctor", "-o", "json").document["findings"]
    }
    skopeo = found["skopeo"]
    assert (skopeo["level"], skopeo["needed"]) == ("ok" if there else "warning", False)
    if there:
        assert skopeo["what"] == f"skopeo version 1.9.3 ({programs / 'skopeo'})"
    else:
        assert "zave push alone" in skopeo["what"]
        assert "nothing else needs it" in skopeo["fix"]


LAB = """\
platform: libvirt-k3s
image: {base: %s}
ssh: {keys: [%s]}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPmV8zvvz9Dy/0Kf9wJoFoNw3C0nH1mqYxG3XqT5wZ1x me@example"


def findings(zave: Zave, project: Path, *, base: str, key: Path) -> dict[str, Any]:
    file = project / "environments" / "lab" / "environment.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LAB % (base, key))
    shown = zave("doctor", "lab", "-o", "json", "--project", str(project)).document
    return {each["check"]: each for each in shown["findings"]}


def test_the_keys_of_the_spec_are_looked_for(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    key = tmp_path / "id.pub"
    missing = findings(zave, tmp_path / "project", base="debian-12", key=key)["ssh keys"]
    assert (missing["level"], missing["needed"]) == ("missing", True)
    assert str(key) in missing["what"]
    assert f"ssh-keygen -t ed25519 -f {tmp_path / 'id'}" in missing["fix"]

    key.write_text(KEY + "\n")
    there = findings(zave, tmp_path / "project", base="debian-12", key=key)["ssh keys"]
    assert (there["level"], there["needed"]) == ("ok", True)


@pytest.mark.parametrize("source", ["packer", "cloud"])
def test_what_builds_images_is_needed_where_one_is_built(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    base = f"debian-12, source: {source}"
    found = findings(zave, tmp_path / "project", base=base, key=tmp_path / "id.pub")
    needed = source == "packer"
    for program, package in (
        ("packer", "packer"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("qemu-img", "qemu-utils"),
    ):
        finding = found[program]
        assert (finding["level"], finding["needed"]) == ("missing" if needed else "warning", needed)
        assert f"package {package}" in finding["fix"]


@pytest.mark.parametrize(("base", "needed"), [("ubuntu-24.04", True), ("debian-12", False)])
def test_gpgv_is_needed_where_a_vendor_signs_and_nothing_is_pinned(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, needed: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = findings(zave, tmp_path / "project", base=base, key=tmp_path / "id.pub")["gpgv"]
    assert (found["level"], found["needed"]) == ("missing" if needed else "warning", needed)
    assert "gpgv" in found["fix"]


def test_gpgv_is_not_needed_any_more_once_the_image_is_pinned(
    zave: Zave, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    project = tmp_path / "project"
    project.mkdir()
    pin = Pin("ubuntu-24.04", "https://example.org/noble.img", "sha256", "ab" * 32, "a test", "2026-11-23")
    ImagesLock(project / FILE).put(pin)
    found = findings(zave, project, base="ubuntu-24.04", key=tmp_path / "id.pub")["gpgv"]
    assert (found["level"], found["needed"]) == ("warning", False)
