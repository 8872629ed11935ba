"""Signatures, checked by gpgv: it knows no key servers, no web of trust and no user's keyring.

Its exit code is not believed: `gpg --verify` ends with 0 for a key that has expired (seen with
HashiCorp's, 2026-04). What counts is the status that GnuPG writes for programs (GnuPG's doc/DETAILS).
"""

import base64
import binascii
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zave.errors import ToolFailedError, ToolMissingError
from zave.ports import Request, Runner
from zave.text import clean

Verdict = Literal["good", "expired", "revoked", "bad", "weak", "unknown-key", "unreadable"]

_TIMEOUT = 60.0
_STATUS_LIMIT = 256 * 1024
_PREFIX = "[GNUPG:] "
_FINGERPRINT = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
# SHA-256, SHA-384, SHA-512, SHA-224 (RFC 9580, 9.5); MD5 and SHA-1 can be forged
_STRONG_HASHES = frozenset({"8", "9", "10", "11"})
_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(?:[^\r\n]+\r?\n)*\r?\n(.*?)\r?\n(?:=[^\r\n]*\r?\n)?-----END",
    re.DOTALL,
)
# what each status says of one signature, the gravest last. Not KEYEXPIRED: it is also said of a subkey
# that did not sign
_SAYS: tuple[tuple[Verdict, frozenset[str]], ...] = (
    ("unknown-key", frozenset({"NO_PUBKEY", "ERRSIG"})),
    ("expired", frozenset({"EXPKEYSIG", "EXPSIG"})),
    ("revoked", frozenset({"REVKEYSIG"})),
    ("bad", frozenset({"BADSIG"})),
)


@dataclass(frozen=True)
class Gpgv:
    """The program `gpgv` at `program`."""

    program: Path
    runner: Runner

    @classmethod
    def find(cls, *, runner: Runner, environment: Mapping[str, str]) -> "Gpgv":
        """The one on PATH. Raises ToolMissingError."""
        found = shutil.which("gpgv", path=environment.get("PATH", os.defpath))
        if found is None:
            raise ToolMissingError(
                "gpgv was not found: the vendor's signature cannot be checked",
                resolution="install it: the package gpgv (Debian, Ubuntu) or gnupg2 (Fedora)",
            )
        return cls(Path(found).absolute(), runner)

    def verify(self, content: bytes, *, signature: bytes, keyring: bytes, fingerprint: str) -> Verdict:
        """Whether `signature` over `content` was made by the key with exactly this `fingerprint`.

        `keyring` holds public keys from anywhere, binary or armored: a key counts for nothing but
        its fingerprint. `good` needs one good signature of that key and none that is broken.
        Raises ToolFailedError when gpgv does not end in time.
        """
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise ValueError(f"not a whole fingerprint: {fingerprint}")
        with tempfile.TemporaryDirectory(prefix="zave-gpgv-") as scratch:
            folder = Path(scratch)
            files = {"content": content, "signature": signature, "keyring.gpg": dearmored(keyring)}
            for name, data in files.items():
                (folder / name).write_bytes(data)
            outcome = self.runner.run(
                Request(
                    argv=(
                        str(self.program),
                        f"--homedir={folder}",
                        "--status-fd=1",
                        f"--keyring={folder / 'keyring.gpg'}",
                        "--",
                        str(folder / "signature"),
                        str(folder / "content"),
                    ),
                    cwd=folder,
                    log=folder / "status",
                    # apart from the status: names of files and of users go there
                    errors=folder / "words",
                    environment={"PATH": os.defpath, "HOME": scratch, "LC_ALL": "C"},
                    timeout=_TIMEOUT,
                    interrupt_grace=1.0,
                )
            )
            with (folder / "status").open("rb") as file:
                status = file.read(_STATUS_LIMIT).decode("utf-8", "replace")
        if outcome.timed_out or outcome.interrupted:
            raise ToolFailedError("gpgv did not come to its end", where=str(self.program))
        return verdict_of(clean(status), fingerprint=fingerprint)


def verdict_of(status: str, *, fingerprint: str) -> Verdict:
    """What gpgv's status says of the key with this fingerprint."""
    signatures = [_verdict(words, fingerprint) for words in _signatures(status)]
    if not signatures:
        return "unreadable"
    if "bad" in signatures:
        # somebody has changed the file, or a signature in it: nothing in it is believed
        return "bad"
    if "good" in signatures:
        return "good"
    # the one that says most of the wanted key
    return max(signatures, key=("unknown-key", "unreadable", "weak", "expired", "revoked").index)


def _signatures(status: str) -> list[list[list[str]]]:
    """The statuses, as words, of each signature."""
    found: list[list[list[str]]] = []
    for line in status.splitlines():
        if not line.startswith(_PREFIX):
            continue
        words = line.removeprefix(_PREFIX).split()
        if words[:1] == ["NEWSIG"]:
            found.append([])
        elif words and found:
            found[-1].append(words)
    return found


def _verdict(statuses: list[list[str]], fingerprint: str) -> Verdict:
    said = {words[0] for words in statuses}
    for verdict, names in reversed(_SAYS):
        if said & names:
            return verdict
    valid = [words for words in statuses if words[0] == "VALIDSIG" and len(words) >= 11]
    if "GOODSIG" not in said or len(valid) != 1:
        return "unreadable"
    # VALIDSIG: the signing key first, the hash the eighth, the primary key last
    key, hashed, primary = valid[0][1], valid[0][8], valid[0][10]
    if fingerprint not in (key, primary):
        return "unknown-key"
    return "good" if hashed in _STRONG_HASHES else "weak"


def dearmored(keyring: bytes) -> bytes:
    """A keyring as gpgv reads it: binary. What is not armored stays as it is."""
    blocks = _ARMOR.findall(keyring)
    if not blocks:
        return keyring
    try:
        return b"".join(base64.b64decode(re.sub(rb"\s", b"", block), validate=True) for block in blocks)
    except binascii.Error:
        return b""
