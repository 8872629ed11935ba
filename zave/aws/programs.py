"""The destroyer's programs: all that a fire of the switch runs, as one archive in the account's bucket.

zave with its Python packages, Terraform with the providers of the root, kubectl where there is one, and
launchers. The machine that unpacks it offers a Python and POSIX tools; nothing is fetched from a registry,
which at three in the morning may be down. Equal files give equal archives, which bear their digest as name:
one is uploaded once, for all instances that need the same.
"""

import json
import platform
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zave.aws import launch
from zave.aws.archive import Archive, archived, fingerprint
from zave.aws.elf import X86_64, needs
from zave.aws.keys import programs_key
from zave.aws.packages import PackedFile, installed_packages, python_version
from zave.aws.providers import provider_files
from zave.errors import PreconditionError
from zave.ports.cloud import Bucket, StoredPrograms
from zave.render import write_private
from zave.tools.terraform_engine import Engine


class BuildImage(NamedTuple):
    """What an image of CodeBuild's offers to what is unpacked in it."""

    name: str
    glibc: tuple[int, int]
    pythons: tuple[str, ...]


BUILD_IMAGE = BuildImage("aws/codebuild/standard:7.0", (2, 35), ("3.11", "3.12", "3.13", "3.14"))
"""The default of `build_image` in `terraform-modules/aws-ttl`: Ubuntu 22.04 with Python 3.9 to 3.14, of which
zave takes these (aws-codebuild-docker-images at 1590e48, 2026-04-09)."""

_PLATFORM = "linux_amd64"
_INDEX = "programs.json"
# libraries of every glibc machine that a manylinux package may count on (PEP 600 and 599), and X's loader
_OF_THE_SYSTEM = frozenset(
    {
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libstdc++.so.6",
        "libutil.so.1",
        "libz.so.1",
    }
)
_EMBEDDED = "embedded"


@dataclass(frozen=True)
class PackedPrograms:
    """Implements `zave.ports.cloud.Programs` with what this machine runs itself.

    `folder` keeps the last archive, so that it is packed once. `kubectl` is None where there is none:
    then the sweep deletes what the cluster made. `packages` are zave and what it needs, by its extras.
    """

    folder: Path
    engine: Engine
    kubectl: Path | None
    image: BuildImage = BUILD_IMAGE
    packages: Callable[[Collection[str]], Iterable[PackedFile]] = installed_packages

    def store(
        self, root: Path, *, bucket: Bucket, initialise: Callable[[], None], say: Callable[[str], None]
    ) -> StoredPrograms:
        """See that the programs for the Terraform root `root` are in the bucket.

        Raises PreconditionError for programs that would not run in the build image, or that are not the
        ones that were published.
        """
        self._require_fitting_machine()
        say("fetching Terraform's providers, which the switch takes along")
        initialise()
        archive = self._archive(root, say)
        stored = StoredPrograms(programs_key(archive.sha256), archive.sha256, archive.size)
        there = {found.key: found.size for found in bucket.list(stored.key)}
        if there.get(stored.key) != stored.size:
            say(f"uploading what the destroyer runs: {_megabytes(stored.size)} MB, once")
            bucket.put_file(stored.key, archive.path)
        return stored

    def _archive(self, root: Path, say: Callable[[str], None]) -> Archive:
        """The archive for `root`: the last one, if it was made of the very same files."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = [*self._files(root), *self._texts()]
        print_ = fingerprint(files)
        kept = self._kept(print_)
        if kept is not None:
            return kept
        self._require_fitting(files)
        say(f"packing what the destroyer runs: zave, {self.engine.title}, {_count(files)} files")
        made = archived(files, folder=self.folder, prefix="programs-")
        index = {"fingerprint": print_, "sha256": made.sha256, "size": made.size}
        write_private(self.folder / _INDEX, json.dumps(index).encode())
        for old in self.folder.glob("programs-*.tar.gz"):
            if old != made.path:
                old.unlink(missing_ok=True)
        return made

    def _kept(self, print_: str) -> Archive | None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            index: Mapping[str, Any] = json.loads((self.folder / _INDEX).read_bytes())
            path = self.folder / f"programs-{index['sha256']}.tar.gz"
            if index["fingerprint"] == print_ and path.stat().st_size == index["size"]:
                return Archive(path, str(index["sha256"]), int(index["size"]))
        return None

    # what is packed

    def _files(self, root: Path) -> list[PackedFile]:
        extras = {"aws", _EMBEDDED} if self.engine.kind == _EMBEDDED else {"aws"}
        found = [file._replace(name=f"packages/{file.name}") for file in self.packages(extras)]
        found += [
            file._replace(name=f"providers/{file.name}") for file in provider_files(root, platform=_PLATFORM)
        ]
        if self.engine.kind != _EMBEDDED:
            found.append(PackedFile(f"bin/{self._engine_name}", self.engine.path.resolve(), executable=True))
        if self.kubectl is not None and _is_program(self.kubectl):
            found.append(PackedFile("bin/kubectl", self.kubectl.resolve(), executable=True))
        return found

    def _texts(self) -> list[PackedFile]:
        """The launchers, and what they have to know."""
        made = self.folder / "texts"
        for name, text in (("python-version", python_version()), ("engine", self._engine_name)):
            write_private(made / name, f"{text}\n".encode(), top=made)
        own = Path(launch.__file__).parent
        texts = [
            PackedFile("engine", made / "engine"),
            PackedFile("interpreter", own / "interpreter.sh", executable=True),
            PackedFile("python-version", made / "python-version"),
            PackedFile("start.py", own / "start.py"),
            PackedFile("zave", own / "zave.sh", executable=True),
        ]
        if self.engine.kind == _EMBEDDED:
            texts.append(PackedFile("bin/terraform", own / "terraform.sh", executable=True))
        return texts

    @property
    def _engine_name(self) -> str:
        return "tofu" if self.engine.kind == "tofu" else "terraform"

    # whether it will run there

    def _require_fitting_machine(self) -> None:
        here = (sys.platform, platform.machine())
        if here != ("linux", "x86_64"):
            raise PreconditionError(
                f"the destroyer runs on Linux x86-64, and this is {' '.join(here)}: "
                "zave cannot take its own programs along",
                resolution="run it on a Linux machine, in WSL 2, or in a pipeline",
            )
        if python_version() not in self.image.pythons:
            raise PreconditionError(
                f"the destroyer's machine ({self.image.name}) has no Python {python_version()}",
                resolution=f"install zave with one of these: {', '.join(self.image.pythons)}",
            )

    def _require_fitting(self, files: Iterable[PackedFile]) -> None:
        """Raise PreconditionError for a program that the build image could not run."""
        packed = {Path(file.name).name for file in files}
        wrong = [
            f"{file.name}: {reason}"
            for file in files
            if (reason := _unfit(file.path, glibc=self.image.glibc, beside=packed))
        ]
        if wrong:
            raise PreconditionError(
                f"{len(wrong)} of the programs would not run where the destroyer does ({self.image.name})",
                details="\n".join(wrong[:10]),
                resolution="put a `terraform` from releases.hashicorp.com on PATH, and install zave's "
                "packages as wheels from PyPI",
            )


def find_kubectl(search: str | None) -> Path | None:
    """Kubectl on the path `search`, else beside this Python, if it is a program and no script."""
    found = shutil.which("kubectl", path=search)
    for candidate in (found, Path(sys.executable).with_name("kubectl")):
        if candidate is not None and _is_program(Path(candidate)):
            return Path(candidate)
    return None


def _is_program(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return needs(path.resolve()) is not None
    return False


def _unfit(path: Path, *, glibc: tuple[int, int], beside: set[str]) -> str:
    """Why a file would not run on a machine with this glibc and the libraries `beside` it; or nothing."""
    try:
        needed = needs(path)
    except ValueError as error:
        return str(error)
    if needed is None:
        return ""
    if needed.machine != X86_64:
        return "it is for another kind of machine"
    if needed.glibc is not None and needed.glibc > glibc:
        return f"it needs glibc {'.'.join(map(str, needed.glibc))}, there is {'.'.join(map(str, glibc))}"
    missing = sorted(set(needed.libraries) - _OF_THE_SYSTEM - beside)
    return f"it needs {', '.join(missing)}" if missing else ""


def _count(files: Iterable[PackedFile]) -> int:
    return sum(1 for _ in files)


def _megabytes(size: int) -> int:
    return -(-size // 1_000_000)
