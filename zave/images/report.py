"""What a build says of the image it made: measured in the guest, brought out by Packer."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.errors import StepFailedError
from zave.text import clean

_LIMIT = 4 * 1024 * 1024
_INDEX = re.compile(rb"^hardening_index=([0-9]{1,3})\s*$", re.MULTILINE)
_PACKAGES_LIMIT = 20_000
_TEXT_LIMIT = 200


@dataclass(frozen=True)
class Report:
    """`hardening_index` is Lynis', 0 to 100; `packages` are lines of name, version, architecture."""

    hardening_index: int
    lynis_version: str
    kernel: str
    packages: tuple[str, ...]


def read_report(folder: Path, *, fingerprint: str) -> Report:
    """The report that the build left in `folder`. All of it is a tool's output, bounded and cleaned.

    Raises StepFailedError when it is missing, nonsense, or another build's.
    """
    document = _object(_bytes(folder, "image.json"))
    if document.get("fingerprint") != fingerprint:
        raise _nonsense("image.json", "it is of another build")
    found = _INDEX.findall(_bytes(folder, "lynis-report.dat"))
    if not found or int(found[-1]) > 100:
        raise _nonsense("lynis-report.dat", "no hardening index is in it")
    packages = clean(_bytes(folder, "packages.txt").decode("utf-8", "replace")).splitlines()
    return Report(
        hardening_index=int(found[-1]),
        lynis_version=_word(document.get("lynis_version")),
        kernel=_word(document.get("kernel")),
        packages=tuple(line[:_TEXT_LIMIT] for line in packages[:_PACKAGES_LIMIT] if line.strip()),
    )


def _bytes(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            content = file.read(_LIMIT + 1)
    except OSError as error:
        raise _nonsense(name, f"it cannot be read: {error.strerror}") from error
    if len(content) > _LIMIT:
        raise _nonsense(name, "it is far too large")
    return content


def _object(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        found = clean(content[:_TEXT_LIMIT].decode("utf-8", "replace"))
        raise _nonsense("image.json", f"it is no JSON: {found!r}") from error
    if not isinstance(document, dict):
        raise _nonsense("image.json", "it is no object")
    return document


def _word(value: object) -> str:
    return clean(value)[:_TEXT_LIMIT] if isinstance(value, str) else ""


def _nonsense(name: str, why: str) -> StepFailedError:
    return StepFailedError(
        f"the build's {name} cannot be used: {why}",
        resolution="the template must bring it into `manifest_directory`: docs/images.md tells what is in it",
    )
