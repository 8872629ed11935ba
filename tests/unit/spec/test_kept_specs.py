"""A spec that was checked before is read back without its models, and only if nothing has changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from zave.errors import SpecError
from zave.spec.kept import KeptSection
from zave.spec.load import load_spec, spec_document, spec_from_document

ENVIRONMENTS = Path(__file__).parents[3] / "environments"
SHIPPED = ["homelab", "aws-demo"]


def leaves(section: object, fields: object, path: str = "") -> dict[str, object]:
    """Every value of a spec by its path; `fields` is the section whose model knows the names."""
    found: dict[str, object] = {}
    for name in type(fields).model_fields:  # type: ignore[attr-defined]
        value, known = getattr(section, name), getattr(fields, name)
        if hasattr(type(known), "model_fields"):
            found |= leaves(value, known, f"{path}.{name}")
        else:
            found[f"{path}.{name}"] = value
    return found


@pytest.mark.parametrize("name", SHIPPED)
def test_a_kept_spec_says_the_same_as_the_checked_one(name: str, tmp_path: Path) -> None:
    path = ENVIRONMENTS / name / "environment.yaml"
    checked = load_spec(path, kept=tmp_path)
    kept = load_spec(path, kept=tmp_path)
    assert not isinstance(checked, KeptSection)
    assert isinstance(kept, KeptSection)
    assert leaves(kept, checked) == leaves(checked, checked)
    assert spec_document(kept) == spec_document(checked)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recorded_spec_is_kept_as_well(name: str, tmp_path: Path) -> None:
    document = spec_document(load_spec(ENVIRONMENTS / name / "environment.yaml"))
    spec_from_document(document, where="record", kept=tmp_path)
    kept = spec_from_document(document, where="record", kept=tmp_path)
    assert isinstance(kept, KeptSection)
    assert spec_document(kept) == document


def test_a_kept_spec_needs_neither_pydantic_nor_yaml(tmp_path: Path) -> None:
    path = ENVIRONMENTS / "homelab" / "environment.yaml"
    load_spec(path, kept=tmp_path)
    script = (
        "import sys; from pathlib import Path; from zave.spec.load import load_spec; "
        f"load_spec(Path({str(path)!r}), kept=Path({str(tmp_path)!r})); "
        "print([name for name in ('pydantic', 'yaml') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"


def test_a_changed_file_is_checked_again(tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    path.write_text("platform: libvirt-k3s\n")
    load_spec(path, kept=tmp_path / "kept")
    path.write_text("platform: libvirt-k3s\nnodez: {}\n")
    with pytest.raises(SpecError):
        load_spec(path, kept=tmp_path / "kept")


def test_what_is_wrong_is_never_kept(tmp_path: Path) -> None:
    path = tmp_path / "environment.yaml"
    path.write_text("platform: libvirt-k3s\nnodez: {}\n")
    for _ in range(2):
        with pytest.raises(SpecError):
            load_spec(path, kept=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}", b"\xff\xfe"])
def test_a_damaged_file_is_ignored_and_made_again(damage: bytes, tmp_path: Path) -> None:
    path, kept = ENVIRONMENTS / "homelab" / "environment.yaml", tmp_path / "kept"
    load_spec(path, kept=kept)
    files = {file: file.read_bytes() for file in kept.iterdir()}
    content = next(iter(files.values()))
    for broken in (damage, content.replace(b"8", b"9"), content[:-1]):
        for file in files:
            file.write_bytes(broken)
        assert not isinstance(load_spec(path, kept=kept), KeptSection)
        assert {file: file.read_bytes() for file in kept.iterdir()} == files


def test_a_kept_spec_cannot_be_changed(tmp_path: Path) -> None:
    path = ENVIRONMENTS / "homelab" / "environment.yaml"
    load_spec(path, kept=tmp_path)
    kept = load_spec(path, kept=tmp_path)
    with pytest.raises(AttributeError, match="cannot be set"):
        kept.platform = "aws-eks"


def test_only_the_newest_are_kept_and_only_for_the_user(tmp_path: Path) -> None:
    path, kept = tmp_path / "environment.yaml", tmp_path / "kept"
    for number in range(40):
        path.write_text(f"# {number}\nplatform: libvirt-k3s\n")
        load_spec(path, kept=kept)
    assert len(list(kept.iterdir())) == 32
    assert isinstance(load_spec(path, kept=kept), KeptSection)
    assert kept.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in kept.iterdir()} == {0o600}


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    spec = load_spec(ENVIRONMENTS / "homelab" / "environment.yaml", kept=tmp_path / "kept")
    assert spec.platform == "libvirt-k3s"


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_record_will_hold_of_a_checked_spec_is_not_checked_again(name: str, tmp_path: Path) -> None:
    checked = load_spec(ENVIRONMENTS / name / "environment.yaml", kept=tmp_path)
    recorded = spec_from_document(spec_document(checked), where="record", kept=tmp_path)
    assert isinstance(recorded, KeptSection)
    assert leaves(recorded, checked) == leaves(checked, checked)
