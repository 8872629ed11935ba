"""The Python packages that zave runs with, as they are installed here: what the destroyer takes along.

What a user has tried is what will run. The files are those that the packages' own records name, with the
digests that were published (Python packaging user guide, "Recording installed projects").
"""

import base64
import re
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import zave
from zave.errors import PreconditionError
from zave.installation import pip_install

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRAS = re.compile(r"\[([^\]]*)\]")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
# what an installer notes of itself: it differs from machine to machine
_NOTES = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"})


class PackedFile(NamedTuple):
    """A file for an archive: its name there, where it is, and the digest that was published of it."""

    name: str
    path: Path
    sha256: str | None = None
    executable: bool = False


def python_version() -> str:
    """The Python that runs this, as in `3.11`: compiled packages fit no other."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def installed_packages(extras: Collection[str]) -> Iterator[PackedFile]:
    """Zave and all packages that it and its `extras` need; raises as `dependency_files` does."""
    yield from own_files()
    yield from dependency_files(extras=extras)


def own_files() -> Iterator[PackedFile]:
    """Zave's own code and data."""
    top = Path(zave.__file__).parent
    for path in sorted(top.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield PackedFile(f"zave/{path.relative_to(top).as_posix()}", path)


def dependency_files(*, extras: Collection[str]) -> Iterator[PackedFile]:
    """The packages that zave needs, with those of its `extras`.

    Raises PreconditionError for one that is missing, or whose record does not tell its files.
    """
    for found in _closure(extras):
        yield from _files(found)


def _closure(extras: Collection[str]) -> list[Distribution]:
    """What zave requires and what that requires, by name."""
    found: dict[str, Distribution] = {}
    wanted = [("zave", frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        name, with_extras = wanted.pop()
        if (name, with_extras) in seen:
            continue
        seen.add((name, with_extras))
        try:
            this = found.get(name) or distribution(name)
        except PackageNotFoundError as error:
            raise _missing(name) from error
        found[name] = this
        for requirement in this.requires or ():
            needed = _needed(requirement, with_extras)
            if needed is not None:
                wanted.append(needed)
    del found["zave"]
    return [found[name] for name in sorted(found)]


def _needed(requirement: str, extras: Collection[str]) -> tuple[str, frozenset[str]] | None:
    """The package and its extras that a requirement asks for here; None where it asks for nothing."""
    text, _, marker = requirement.partition(";")
    match = _NAME.match(text.strip())
    if match is None:
        return None
    name = re.sub(r"[-_.]+", "-", match[0]).lower()
    of_extra = _EXTRA.search(marker)
    if of_extra is not None and of_extra[1] not in extras:
        return None
    if marker and not _installed(name):
        # for another system or Python: what is needed here was installed with zave
        return None
    inner = _EXTRAS.search(text)
    return name, frozenset(part.strip() for part in inner[1].split(",")) if inner else frozenset()


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _files(found: Distribution) -> Iterator[PackedFile]:
    for name, digest in _recorded(found):
        inside = name.parts[0] != ".." and not name.is_absolute()
        note = name.parent.suffix == ".dist-info" and name.name in _NOTES
        if inside and not note and name.suffix != ".pyc":
            yield PackedFile(str(name), Path(str(found.locate_file(name))), digest)


def _recorded(found: Distribution) -> Iterator[tuple[PurePosixPath, str | None]]:
    """The files of a package, from the folder of all packages on, with their digests in hexadecimal."""
    if found.read_text("RECORD") is not None:
        for file in found.files or ():
            digest = None
            if file.hash is not None and file.hash.mode == "sha256":
                padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
                digest = base64.urlsafe_b64decode(padded).hex()
            yield PurePosixPath(*file.parts), digest
        return
    # what pip wrote until 2023 for packages without a wheel: no digests, and names from another folder on
    notes = found.read_text("installed-files.txt")
    if not notes:
        raise PreconditionError(
            f"the Python package {found.name} does not say which files are its own",
            resolution="install zave into a virtual environment of its own: pip and uv write such records",
        )
    for line in notes.splitlines():
        if line.startswith("../"):
            yield PurePosixPath(line.removeprefix("../")), None


def _missing(name: str) -> PreconditionError:
    return PreconditionError(
        f"the Python package {name} is not installed, and the destroyer needs it",
        resolution=f"`{pip_install('aws')}` installs all that AWS takes",
    )
