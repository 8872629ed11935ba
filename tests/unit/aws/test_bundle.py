"""Bundles: equal inputs give equal archives, and nothing altered is ever run."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zave.aws.bundle import InstanceFacts, Packed, build_bundle, load_bundle, unpack
from zave.errors import PreconditionError, StepFailedError

Facts = Callable[..., InstanceFacts]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "terraform-modules/aws-vpc").mkdir(parents=True)
    (folder / "main.tf").write_text("module {}\n")
    (folder / "zave.auto.tfvars.json").write_text('{"a": "${b}"}')
    (folder / "terraform-modules/aws-vpc/main.tf").write_text("# vpc\n")
    (folder / ".terraform.lock.hcl").write_text("# lock\n")
    return folder


@pytest.fixture
def packed(root: Path, facts: Facts) -> Packed:
    return build_bundle(root, spec={"platform": "aws-eks"}, facts=facts("demo"))


def test_a_bundle_gives_back_what_was_packed(packed: Packed, tmp_path: Path, facts: Facts) -> None:
    unpack(packed.content, tmp_path / "in")
    bundle = load_bundle(tmp_path / "in", work=tmp_path / "work")
    assert bundle.facts == facts("demo")
    assert bundle.spec == {"platform": "aws-eks"}
    assert bundle.manifest_sha256 == packed.manifest_sha256
    files = {
        p.relative_to(bundle.root).as_posix(): p.read_text() for p in bundle.root.rglob("*") if p.is_file()
    }
    assert files == {
        "main.tf": "module {}\n",
        "zave.auto.tfvars.json": '{"a": "${b}"}',
        "terraform-modules/aws-vpc/main.tf": "# vpc\n",
        ".terraform.lock.hcl": "# lock\n",
    }
    assert bundle.root.stat().st_mode & 0o777 == 0o700
    assert (bundle.root / "main.tf").stat().st_mode & 0o777 == 0o600


def test_equal_inputs_give_equal_archives_whatever_the_dates(
    root: Path, packed: Packed, facts: Facts
) -> None:
    for path in root.rglob("*"):
        path.touch()
    again = build_bundle(root, spec={"platform": "aws-eks"}, facts=facts("demo"))
    assert again == packed
    assert packed.sha256 == hashlib.sha256(packed.content).hexdigest()


@pytest.mark.parametrize("change", ["facts", "spec", "file"])
def test_a_change_of_any_input_changes_both_digests(
    change: str, root: Path, packed: Packed, facts: Facts
) -> None:
    if change == "file":
        (root / "terraform-modules/aws-vpc/main.tf").write_text("# other\n")
    other = build_bundle(
        root,
        spec={"platform": "aws-eks", **({"owner": "x"} if change == "spec" else {})},
        facts=facts("demo", creation="later") if change == "facts" else facts("demo"),
    )
    assert other.sha256 != packed.sha256
    assert other.manifest_sha256 != packed.manifest_sha256


@pytest.mark.parametrize(
    "name",
    [
        ".terraform/providers/x",
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "errored.tfstate",
        "zave.tfplan",
        "zave-imports.tf",
        ".zave-rendered.json",
        ".terraform.tfstate.lock.info",
    ],
)
def test_plans_states_and_what_terraform_installed_stay_out(
    name: str, root: Path, packed: Packed, facts: Facts
) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("a secret")
    assert build_bundle(root, spec={"platform": "aws-eks"}, facts=facts("demo")) == packed


def test_a_root_with_a_link_is_not_packed(root: Path, facts: Facts) -> None:
    (root / "more.tf").symlink_to("/etc/passwd")
    with pytest.raises(StepFailedError, match="link"):
        build_bundle(root, spec={}, facts=facts("demo"))


def test_an_empty_root_is_not_packed(tmp_path: Path, facts: Facts) -> None:
    with pytest.raises(StepFailedError, match="no Terraform configuration"):
        build_bundle(tmp_path, spec={}, facts=facts("demo"))


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        _member("root/../../outside.tf"),
        _member("/outside/main.tf"),
        _member("root//main.tf"),
        _member("other/main.tf"),
        _member("root"),
        _member("root/link.tf", tarfile.SYMTYPE, "/etc/passwd"),
        _member("root/hard.tf", tarfile.LNKTYPE, "manifest.json"),
        _member("root/device", tarfile.CHRTYPE),
        _member("root/fifo", tarfile.FIFOTYPE),
        _member("root/folder", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}",
)
def test_an_archive_with_anything_but_plain_files_in_place_writes_nothing(
    member: tarfile.TarInfo, tmp_path: Path
) -> None:
    archive = _tar((_member("root/main.tf"), b"x"), (member, b"y"))
    with pytest.raises(PreconditionError, match="cannot be used"):
        unpack(archive, tmp_path / "in")
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("archive", [b"", b"not an archive", b"\x1f\x8b\x08\x00"])
def test_what_is_no_archive_is_refused(archive: bytes, tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="cannot be used"):
        unpack(archive, tmp_path / "in")


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    archive = _tar((_member("root/main.tf"), b"x"), (_member("root/main.tf"), b"y"))
    with pytest.raises(PreconditionError, match="twice"):
        unpack(archive, tmp_path / "in")


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    archive = _tar((_member("root/big.tf"), bytes(65 * 1024 * 1024)))
    with pytest.raises(PreconditionError, match="larger"):
        unpack(archive, tmp_path / "in")


@pytest.fixture
def unpacked(packed: Packed, tmp_path: Path) -> Path:
    unpack(packed.content, tmp_path / "in")
    return tmp_path / "in"


def _refused(folder: Path, tmp_path: Path, match: str) -> None:
    with pytest.raises(PreconditionError, match=match):
        load_bundle(folder, work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_changed_file_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "root/main.tf").write_text("module { evil }\n")
    _refused(unpacked, tmp_path, "not the file that was packed")


def test_an_additional_file_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "root/more.tf").write_text("")
    _refused(unpacked, tmp_path, "manifest and its files differ")


def test_a_missing_file_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "root/main.tf").unlink()
    _refused(unpacked, tmp_path, "manifest and its files differ")


def test_a_link_in_the_folder_is_refused_even_to_an_equal_file(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "root/main.tf").rename(tmp_path / "main.tf")
    (unpacked / "root/main.tf").symlink_to(tmp_path / "main.tf")
    _refused(unpacked, tmp_path, "not a regular file")


def test_a_folder_that_is_a_link_is_refused(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "root/terraform-modules").rename(tmp_path / "modules")
    (unpacked / "root/terraform-modules").symlink_to(tmp_path / "modules")
    _refused(unpacked, tmp_path, "not a regular file")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _refused(tmp_path / "in", tmp_path, "cannot be used")


@pytest.mark.parametrize(
    "change",
    [
        {"instance": "../x"},
        {"account": "12"},
        {"region": "moon"},
        {"longest_apply": 0},
        {"surprise": 1},
    ],
    ids=str,
)
def test_facts_that_cannot_be_are_refused_even_with_right_digests(
    change: dict[str, object], unpacked: Path, tmp_path: Path
) -> None:
    facts = json.loads((unpacked / "instance.json").read_text()) | change
    (unpacked / "instance.json").write_text(json.dumps(facts))
    manifest = json.loads((unpacked / "manifest.json").read_text())
    content = (unpacked / "instance.json").read_bytes()
    manifest["files"]["instance.json"] = hashlib.sha256(content).hexdigest()
    (unpacked / "manifest.json").write_text(json.dumps(manifest))
    _refused(unpacked, tmp_path, "cannot be used")
