"""Whose credentials the platform repository is asked with, and the same as a Secret for Flux."""

import base64
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.errors import PreconditionError
from zave.tools.flux import SECRET
from zave.tools.git_server import GitCredentials

if TYPE_CHECKING:
    from zave.settings import Settings

TOKEN_VARIABLE = "ZAVE_GIT_TOKEN"  # noqa: S105 - a name
"""Holds a token where there is no file with one, as in CI."""

_LONGEST = 16 * 1024


def credentials_for(
    url: str, settings: "Settings", *, environ: Mapping[str, str] = os.environ
) -> GitCredentials:
    """What `url` (in Flux's form) is asked with. Reads files, asks nobody.

    Raises PreconditionError where there are none, or where others could read them.
    """
    authorities = _existing(settings.git_ca_file, "git_ca_file") if settings.git_ca_file else None
    if url.startswith("ssh://"):
        if not settings.git_key:
            raise PreconditionError(
                "no key is known for the repository",
                where=url,
                resolution="name the file of a deploy key that may write in ZAVE_GIT_KEY; docs/bootstrap.md "
                "says how to make one",
            )
        return GitCredentials(
            key=_private(_existing(settings.git_key, "git_key"), "key"),
            known_hosts=Path(settings.git_known_hosts).expanduser(),
        )
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if settings.git_token_file:
        token = _token(_private(_existing(settings.git_token_file, "git_token_file"), "token"))
    if not token:
        raise PreconditionError(
            "no token is known for the repository",
            where=url,
            resolution="name the file of a token that may write in ZAVE_GIT_TOKEN_FILE; docs/bootstrap.md "
            "says how to make one",
        )
    return GitCredentials(user=settings.git_user, token=token, ca_file=authorities)


def flux_secret(credentials: GitCredentials) -> dict[str, Any]:
    """The Secret `zave-git` in flux-system, as Flux's sources read it. For kubectl's stdin, no disk.

    Of the known hosts only names and keys: comments and markers are the user's own.
    """
    if credentials.key is not None:
        data = {"identity": credentials.key.read_bytes(), "known_hosts": _known_hosts(credentials)}
    else:
        data = {"username": credentials.user.encode(), "password": (credentials.token or "").encode()}
        if credentials.ca_file is not None:
            data["ca.crt"] = credentials.ca_file.read_bytes()
    return secret(SECRET, data)


def secret(name: str, data: Mapping[str, bytes]) -> dict[str, Any]:
    """A Secret in flux-system."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "flux-system"},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in sorted(data.items())},
    }


def _known_hosts(credentials: GitCredentials) -> bytes:
    try:
        lines = (credentials.known_hosts or Path(os.devnull)).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    kept = [
        b" ".join(line.split()[:3]) for line in lines if line.strip() and not line.startswith((b"#", b"@"))
    ]
    return b"".join(line + b"\n" for line in kept)


def _existing(name: str, setting: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise PreconditionError(
            f"the file that {setting} names is not there",
            where=str(path),
            resolution=f"correct it: `zave config` shows where {setting} comes from",
        )
    return path


def _private(path: Path, what: str) -> Path:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PreconditionError(
            f"others may read the {what}", where=str(path), resolution=f"chmod 600 {path}"
        )
    return path


def _token(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_LONGEST + 1)
    text = raw.decode("utf-8", "replace").strip()
    if not text or len(raw) > _LONGEST or any(ord(letter) < 33 or ord(letter) > 126 for letter in text):
        raise PreconditionError(
            "the file holds no token", where=str(path), resolution="it must hold the token alone, in one line"
        )
    return text
