"""The bundle: all that the switch's destroyer needs of an instance, as one archive in the bucket.

Equal inputs give equal archives. Nothing in one is trusted before its digest was compared: it is
read by a role that may delete everything.
"""

import gzip
import hashlib
import io
import json
import os
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from zave.errors import PreconditionError, StepFailedError, ZaveError
from zave.ports.cloud import StoredPrograms
from zave.render import write_private
from zave.spec.names import check_name

_MANIFEST = "manifest.json"
_INSTANCE = "instance.json"
_SPEC = "spec.json"
_ROOT = "root"
_SCHEMA = "zave/bundle/v1"
_FIXED = frozenset({_MANIFEST, _INSTANCE, _SPEC})

# what Terraform and zave leave in a root: no part of the configuration, and plans and states hold secrets
_LEFT_OUT = re.compile(
    r"(^|/)(\.terraform/|\.zave-|\.terraform\.tfstate|[^/]*\.tfstate|[^/]*\.tfplan$|zave-imports\.tf$|crash\.)"
)
# a root with its modules has some 60 files and 200 kB: ten times that is somebody else's archive
_MOST_FILES = 2000
_MOST_BYTES = 64 * 1024 * 1024

# AWS user guide: an account is twelve digits; regions as in us-east-1, us-gov-west-1
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]")


@dataclass(frozen=True)
class InstanceFacts:
    """What the destroyer must know of an instance.

    `creation` is the value of the tag `zave:creation`, `longest_apply` the seconds after which an
    apply is certainly over. `label_rehearsal` only labels documents. `programs` is the key of what
    the destroyer runs, with its digest; empty where the machine of a build has it.
    """

    instance: str
    environment: str
    account: str
    region: str
    creation: str
    longest_apply: int
    label_rehearsal: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    programs: str = ""
    programs_sha256: str = ""


class Packed(NamedTuple):
    """A bundle as it is stored: the archive, its SHA-256, and the SHA-256 of the manifest in it.

    The first is checked before the archive is unpacked, the second proves what was unpacked.
    `programs` are those that the bundle names.
    """

    content: bytes
    sha256: str
    manifest_sha256: str
    programs: StoredPrograms | None = None


@dataclass(frozen=True)
class Bundle:
    """A bundle whose digests were verified: `root` is a private copy of the Terraform root."""

    root: Path
    facts: InstanceFacts
    spec: Mapping[str, Any]
    manifest_sha256: str


def build_bundle(
    root: Path, *, spec: Mapping[str, Any], facts: InstanceFacts, programs: StoredPrograms | None = None
) -> Packed:
    """Pack the rendered Terraform root with its variables, the spec's document and the facts.

    `programs` is what the destroyer is to run, where the machine of a build has nothing of zave's.

    Raises StepFailedError when the root cannot be read or holds a link.
    """
    files = {f"{_ROOT}/{name}": content for name, content in _configuration(root)}
    if not any(name.endswith(".tf") for name in files):
        raise StepFailedError(f"there is no Terraform configuration in {root}", where=str(root))
    if programs is not None:
        facts = replace(facts, programs=programs.key, programs_sha256=programs.sha256)
    files[_SPEC] = _json(dict(spec))
    files[_INSTANCE] = _json(asdict(facts))
    digests = {name: _sha256(files[name]) for name in sorted(files)}
    files[_MANIFEST] = _json({"schema": _SCHEMA, "files": digests})
    content = _archive(files)
    return Packed(content, _sha256(content), _sha256(files[_MANIFEST]), programs)


def unpack(content: bytes, folder: Path) -> None:
    """Write the files of an archive below `folder` (0600, folders 0700), as a build's `tar` would.

    Raises PreconditionError, with nothing written, for an archive that holds anything but plain files
    at their places.
    """
    try:
        files = _members(content)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise _refused(folder, str(error)) from error
    for name, data in files.items():
        write_private(folder / name, data, top=folder)


def load_bundle(folder: Path, *, work: Path) -> Bundle:
    """Verify the bundle that was unpacked into `folder`, and copy its root into `work`.

    Raises PreconditionError when anything is missing, altered, or there beside the files of the
    manifest: links, devices, files too many or too large.
    """
    try:
        files = dict(_unpacked(folder))
        _verify(files)
        facts = _facts(json.loads(files[_INSTANCE]))
        spec = json.loads(files[_SPEC])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ZaveError) as error:
        raise _refused(folder, str(error)) from error
    for name, data in files.items():
        if name not in _FIXED:
            write_private(work / name, data, top=work)
    return Bundle(work / _ROOT, facts, spec, _sha256(files[_MANIFEST]))


def _configuration(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not _LEFT_OUT.search(f"{name}/"))
        for name in [*sorted(names), *folders]:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if _LEFT_OUT.search(relative):
                continue
            if path.is_symlink():
                raise StepFailedError(f"{relative} is a link, which a bundle may not hold", where=str(path))
            if path.is_file():
                yield relative, path.read_bytes()


def _archive(files: Mapping[str, bytes]) -> bytes:
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            # no owner, no date: equal contents must give equal archives
            member.size, member.mode = len(files[name]), 0o600
            archive.addfile(member, io.BytesIO(files[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as file:
        file.write(tarred.getvalue())
    return packed.getvalue()


def _members(content: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            _check_member(member, files)
            total += member.size
            if total > _MOST_BYTES or len(files) >= _MOST_FILES:
                raise ValueError("it is larger than any bundle of zave's")
            file = archive.extractfile(member)
            if file is None:
                raise ValueError(f"{member.name!r} cannot be read")
            files[member.name] = file.read()
    return files


def _check_member(member: tarfile.TarInfo, files: Mapping[str, bytes]) -> None:
    if not member.isreg():
        raise ValueError(f"{member.name!r} is not a regular file")
    _check_name(member.name)
    if member.name in files:
        raise ValueError(f"{member.name!r} is there twice")


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or "\0" in name or "\\" in name:
        raise ValueError(f"{name!r} leaves the bundle's folder")
    if name not in _FIXED and (path.parts[0] != _ROOT or len(path.parts) == 1):
        raise ValueError(f"{name!r} does not belong into a bundle")


def _unpacked(folder: Path) -> Iterator[tuple[str, bytes]]:
    total = count = 0
    for parent, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            relative = path.relative_to(folder).as_posix()
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{relative!r} is not a regular file")
            _check_name(relative)
            total, count = total + status.st_size, count + 1
            if total > _MOST_BYTES or count > _MOST_FILES:
                raise ValueError("it is larger than any bundle of zave's")
            yield relative, path.read_bytes()


def _verify(files: Mapping[str, bytes]) -> None:
    manifest = json.loads(files[_MANIFEST])
    if not isinstance(manifest, dict) or manifest.get("schema") != _SCHEMA:
        raise ValueError("its manifest is of another kind")
    listed = {str(name): str(digest) for name, digest in manifest["files"].items()}
    there = set(files) - {_MANIFEST}
    if set(listed) != there:
        raise ValueError(f"its manifest and its files differ: {', '.join(sorted(set(listed) ^ there)[:5])}")
    for name, digest in listed.items():
        if _sha256(files[name]) != digest:
            raise ValueError(f"{name!r} is not the file that was packed")


def _facts(document: Mapping[str, Any]) -> InstanceFacts:
    facts = InstanceFacts(**document)
    check_name(facts.instance, what="instance")
    check_name(facts.environment)
    if not _ACCOUNT.fullmatch(facts.account) or not _REGION.fullmatch(facts.region):
        raise ValueError("its account or region is none")
    if not isinstance(facts.longest_apply, int) or facts.longest_apply <= 0:
        raise ValueError("its longest apply is none")
    return facts


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refused(where: Path, reason: str) -> PreconditionError:
    return PreconditionError(
        f"the bundle cannot be used: {reason}",
        where=str(where),
        resolution="run `zave up` for the instance again: it packs and proves a new bundle",
    )
