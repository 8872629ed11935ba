"""Files in the format of SOPS, for age keys: what Flux decrypts in the cluster.

Values are encrypted with AES-256-GCM under a data key, each bound to its place by the path to it; a MAC over
all values binds them together; the data key is encrypted for an age recipient (getsops/sops, README and
`aes/cipher.go`, `sops.go` at v3.13). The program `sops` reads and writes the same files.
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from zave.render import yaml as quoted
from zave.tools.age import AgeKeys

ENCRYPTED_KEYS = "^(data|stringData)$"
"""Which fields are encrypted, as a regular expression: a Secret's values, and nothing else."""

# the release that this was compared with
_VERSION = "3.13.2"
_NONCE = 32
_TAG = 16
_VALUE = re.compile(
    r"ENC\[AES256_GCM,data:([A-Za-z0-9+/=]*),iv:([A-Za-z0-9+/=]+),tag:([A-Za-z0-9+/=]+),type:([a-z]+)\]"
)

Problem = Literal["not-encrypted", "other-key", "broken"]


class SopsError(Exception):
    """A file that cannot be decrypted, and why."""

    def __init__(self, problem: Problem, what: str) -> None:
        super().__init__(what)
        self.problem = problem


@dataclass(frozen=True)
class Opened:
    """A decrypted file: its content without SOPS's own part, and for whom it was encrypted."""

    content: Mapping[str, Any]
    recipients: tuple[str, ...]


def encrypt_secret(
    name: str, namespace: str, values: Mapping[str, str], *, keys: AgeKeys, now: datetime
) -> bytes:
    """A Secret with encrypted values, as YAML."""
    key = os.urandom(32)
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": dict(values),
    }
    # whole seconds: SOPS reads a fraction and binds the MAC to the time without it
    modified = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    mac = _seal(key, _mac(document), modified)
    lines = [
        "apiVersion: v1",
        "kind: Secret",
        "metadata:",
        f"  name: {quoted(name)}",
        f"  namespace: {quoted(namespace)}",
        "type: Opaque",
        "stringData:",
    ]
    for field, value in values.items():
        sealed = _seal(key, value, f"stringData:{field}:") if value else ""
        lines.append(f"  {quoted(field)}: {quoted(sealed)}")
    lines += [
        "sops:",
        "  age:",
        f"    - recipient: {keys.recipient()}",
        f"      enc: {quoted(keys.encrypt(key))}",
        f"  lastmodified: {quoted(modified)}",
        f"  mac: {quoted(mac)}",
        f"  encrypted_regex: {quoted(ENCRYPTED_KEYS)}",
        f"  version: {_VERSION}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def decrypt(content: bytes, *, keys: AgeKeys) -> Opened:
    """What an encrypted YAML file holds. Raises SopsError."""
    import yaml

    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SopsError("broken", "it is not YAML") from error
    if not isinstance(document, dict) or not isinstance(document.get("sops"), dict):
        raise SopsError("not-encrypted", "it is not encrypted by SOPS")
    about = document.pop("sops")
    recipients = tuple(
        str(each.get("recipient")) for each in about.get("age") or () if isinstance(each, dict)
    )
    key = _data_key(about, keys)
    opened = _opened(document, key, (), re.compile(str(about.get("encrypted_regex") or "")))
    try:
        mac = _unseal(key, str(about.get("mac")), str(about.get("lastmodified")))
    except ValueError as error:
        raise SopsError("broken", "its MAC cannot be read") from error
    if mac != _mac(opened):
        raise SopsError("broken", "its MAC does not fit: somebody changed it without SOPS")
    return Opened(opened, recipients)


def _data_key(about: Mapping[str, Any], keys: AgeKeys) -> bytes:
    for each in about.get("age") or ():
        found = keys.decrypt(str(each.get("enc"))) if isinstance(each, dict) else None
        if found is not None and len(found) == 32:
            return found
    raise SopsError("other-key", "it is encrypted for somebody else's key")


def _opened(node: Any, key: bytes, path: tuple[str, ...], rule: re.Pattern[str]) -> Any:
    if isinstance(node, dict):
        return {name: _opened(value, key, (*path, str(name)), rule) for name, value in node.items()}
    if isinstance(node, list):
        # as SOPS: the places in a list are not told apart
        return [_opened(value, key, path, rule) for value in node]
    if not any(rule.search(name) for name in path) or node in ("", None):
        return node
    try:
        return _unseal(key, str(node), "".join(f"{name}:" for name in path))
    except ValueError as error:
        raise SopsError("broken", f"{'.'.join(path)} is not encrypted, or was changed") from error


def _mac(document: Any) -> str:
    digest = hashlib.sha512()
    for value in _leaves(document):
        digest.update(value)
    return digest.hexdigest().upper()


def _leaves(node: Any) -> Iterator[bytes]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _leaves(value)
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value)
    elif node is not None:
        # Go's words for truth are Python's, as SOPS writes them
        yield str(node).encode()


def _seal(key: bytes, text: str, place: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    sealed = AESGCM(key).encrypt(nonce, text.encode(), place.encode())
    parts = (base64.b64encode(part).decode() for part in (sealed[:-_TAG], nonce, sealed[-_TAG:]))
    return "ENC[AES256_GCM,data:{},iv:{},tag:{},type:str]".format(*parts)


def _unseal(key: bytes, text: str, place: str) -> str:
    """Raises ValueError for what was not sealed with `key` for this place."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    match = _VALUE.fullmatch(text)
    if match is None:
        raise ValueError("not encrypted")
    data, nonce, tag = (base64.b64decode(part) for part in match.groups()[:3])
    try:
        return AESGCM(key).decrypt(nonce, data + tag, place.encode()).decode()
    except InvalidTag as error:
        raise ValueError("not authentic") from error
