"""The providers that an initialised Terraform root uses, checked against its dependency lock file.

The lock's `h1:` is the digest of an unpacked package: SHA-256 over the sorted lines `digest  name` of its
files (https://developer.hashicorp.com/terraform/language/files/dependency-lock#new-provider-package-checksums,
read 2026-11-23; Go's module golang.org/x/mod/sumdb/dirhash, Hash1).
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from zave.aws.packages import PackedFile
from zave.errors import PreconditionError

LOCK = ".terraform.lock.hcl"

_PROVIDER = re.compile(r'^provider "([^"]+)" \{(.*?)^\}', re.MULTILINE | re.DOTALL)
_VERSION = re.compile(r'^\s*version\s*=\s*"([^"]+)"', re.MULTILINE)
_HASH = re.compile(r'"(h1:[A-Za-z0-9+/=]+)"')
_CHUNK = 1024 * 1024


def provider_files(root: Path, *, platform: str) -> Iterator[PackedFile]:
    """The files of all providers that the lock of `root` names, laid out as a filesystem mirror.

    `platform` is Terraform's word for the machine that will run them, such as `linux_amd64`. Raises
    PreconditionError for a package that is missing or not the one that was locked.
    """
    for address, version, known in _locked(root):
        place = f"{address}/{version}/{platform}"
        # the package itself is often in a cache that this is a link to
        package = root / ".terraform" / "providers" / place
        if not package.is_dir():
            raise PreconditionError(
                f"Terraform has not installed {address} {version} for {platform}",
                where=str(package),
                resolution="arm the switch from a machine of that kind",
            )
        files = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*"))}
        digests = {name: sha256_of(path) for name, path in files.items() if path.is_file()}
        if _package_hash(digests) not in known:
            raise PreconditionError(
                f"{address} {version} is not the package of the dependency lock file",
                where=str(package),
                resolution=f"remove {root / '.terraform'} and run the same command again: "
                "Terraform fetches it anew",
            )
        for name, digest in digests.items():
            executable = name.startswith("terraform-provider-")
            yield PackedFile(f"{place}/{name}", files[name], digest, executable)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file of any size, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _locked(root: Path) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Address, version and digests of unpacked packages of each provider in the lock."""
    try:
        text = (root / LOCK).read_text(encoding="utf-8")
    except OSError as error:
        raise PreconditionError(
            "Terraform has written no dependency lock file", where=str(root), details=str(error)
        ) from error
    for match in _PROVIDER.finditer(text):
        version = _VERSION.search(match[2])
        if version is not None:
            yield match[1], version[1], frozenset(_HASH.findall(match[2]))


def _package_hash(digests: dict[str, str]) -> str:
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return f"h1:{base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()}"
