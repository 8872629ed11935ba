"""An instance's secrets: encrypted files beside the state, published with its tree.

The key that opens them never leaves this machine but for the cluster, where the bootstrap places it.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zave.errors import PreconditionError, UsageError
from zave.gitops.credentials import secret
from zave.render import write_private
from zave.render import yaml as quoted
from zave.spec.names import check_name
from zave.tools.age import AgeKeys
from zave.tools.sops import ENCRYPTED_KEYS, SopsError, decrypt, encrypt_secret

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec
    from zave.state.directory import StateDirectory

SOPS_AGE = "sops-age"
"""The Secret in flux-system with the keys; Flux's layers name it."""

RULES = ".sops.yaml"
"""Tells the program `sops` for whom to encrypt; at the top of the repository."""

_LONGEST = 256 * 1024

State = Literal["ready", "missing", "not-encrypted", "other-key", "broken", "incomplete", "old-key"]


@dataclass(frozen=True)
class Wanted:
    """A Secret that the tree names and does not hold: where, with which fields, and what for."""

    name: str
    namespace: str
    layer: str
    fields: tuple[str, ...]
    purpose: str


_INFRASTRUCTURE, _PLATFORM = "infrastructure-controllers", "platform"
KNOWN: Mapping[str, Wanted] = {
    each.name: each
    for each in (
        Wanted(
            "tunnel-token",
            "cloudflared",
            _PLATFORM,
            ("token",),
            "the token of a Cloudflare Tunnel (docs/tunnel.md)",
        ),
        Wanted(
            "bigbang-credentials",
            "bigbang",
            _PLATFORM,
            ("values.yaml",),
            "Big Bang's registryCredentials: user and CLI secret of registry1.dso.mil, as YAML",
        ),
        Wanted(
            "velero",
            "velero",
            _INFRASTRUCTURE,
            ("cloud",),
            "credentials for the bucket of backups, as an AWS credentials file",
        ),
    )
}
"""Every Secret that a piece of the shipped tree names."""


@dataclass(frozen=True)
class Condition:
    """How a wanted secret stands; `reason` says why it is not ready."""

    wanted: Wanted
    state: State
    reason: str = ""


@dataclass(frozen=True)
class SecretStore:
    """The folder of one instance's secrets: the keys, and an encrypted file a secret."""

    folder: Path

    @property
    def keys(self) -> AgeKeys:
        """The age keys."""
        return AgeKeys(self.folder / "age.key")

    def file(self, name: str) -> Path:
        """Where the encrypted file of `name` is, whether it is there or not."""
        return self.folder / f"{name}.yaml"

    def names(self) -> tuple[str, ...]:
        """The secrets that are there."""
        return tuple(name for name in KNOWN if self.file(name).is_file())

    def put(self, name: str, values: Mapping[str, str], *, now: datetime) -> None:
        """Encrypt `values` and keep them. Raises UsageError for a secret or fields that no piece wants."""
        wanted = known(name)
        if set(values) != set(wanted.fields):
            raise UsageError(
                f"{name} wants {', '.join(wanted.fields)}, and nothing else",
                resolution=f"it is {wanted.purpose}",
            )
        for field, value in values.items():
            if not value.strip() or len(value.encode()) > _LONGEST:
                raise UsageError(f"{field} of {name} is empty, or larger than {_LONGEST >> 10} KiB")
        self.keys.make()
        content = encrypt_secret(name, wanted.namespace, values, keys=self.keys, now=now)
        write_private(self.file(name), content)

    def rotate(self, *, now: datetime) -> str:
        """A new key, and every secret encrypted anew for it; the public half. May be repeated after a crash.

        Raises PreconditionError, before anything is changed, for a secret that cannot be decrypted.
        """
        opened = {name: self._values(name) for name in self.names()}
        recipient = self.keys.rotate()
        for name, values in opened.items():
            self.put(name, values, now=now)
        # last: cut off before, every key is still there that any file may need
        self.keys.prune()
        return recipient

    def condition(self, wanted: Wanted) -> Condition:
        """How a wanted secret stands."""
        try:
            opened = decrypt(self.file(wanted.name).read_bytes(), keys=self.keys)
        except FileNotFoundError:
            return Condition(wanted, "missing", f"it is {wanted.purpose}")
        except SopsError as error:
            return Condition(wanted, error.problem, str(error))
        values = opened.content.get("stringData") or opened.content.get("data") or {}
        lacking = [field for field in wanted.fields if not values.get(field)]
        if lacking:
            return Condition(wanted, "incomplete", f"it lacks {', '.join(lacking)}")
        if self.keys.recipient() not in opened.recipients:
            return Condition(wanted, "old-key", "it is encrypted for a key that was rotated away")
        return Condition(wanted, "ready")

    def for_cluster(self) -> list[dict[str, Any]]:
        """The Secret with the keys, for kubectl's stdin. Makes a key where there is none: layers name it."""
        self.keys.make()
        return [secret(SOPS_AGE, {"age.agekey": self.keys.secret()})]

    def digest(self) -> str:
        """Covers the keys in force and every encrypted file."""
        whole = hashlib.sha256()
        for file in (self.folder / "age.key", *(self.file(name) for name in self.names())):
            if file.is_file():
                whole.update(hashlib.sha256(file.read_bytes()).digest())
        return whole.hexdigest()

    def files(self, instance: str) -> dict[str, bytes]:
        """Repository path -> content of the encrypted files, and of the rules for `sops`."""
        recipient = self.keys.recipient()
        if recipient is None:
            return {}
        found = {place_of(instance, name): self.file(name).read_bytes() for name in self.names()}
        return found | {f"clusters/{instance}/{RULES}": _rules(recipient)}

    def added_to(self, files: Mapping[str, bytes], instance: str) -> dict[str, bytes]:
        """A rendered tree with the secrets in it, and named by the layers that they belong to."""
        found = dict(files)
        for path, content in self.files(instance).items():
            found[path] = content
        for name in self.names():
            layer = f"clusters/{instance}/{KNOWN[name].layer}/kustomization.yaml"
            if layer in found:
                found[layer] += f"  - {quoted(f'secrets/{name}.yaml')}\n".encode()
        return dict(sorted(found.items()))

    def _values(self, name: str) -> dict[str, str]:
        try:
            opened = decrypt(self.file(name).read_bytes(), keys=self.keys)
        except SopsError as error:
            raise PreconditionError(
                f"the secret {name} cannot be decrypted: {error}",
                where=str(self.file(name)),
                resolution=f"give it anew: `zave secrets set ENV {name}`",
            ) from error
        if found := opened.content.get("stringData"):
            return {str(key): str(value) for key, value in found.items()}
        encoded = opened.content.get("data") or {}
        return {str(key): base64.b64decode(str(value)).decode() for key, value in encoded.items()}


def store_of(directory: "StateDirectory", instance: str) -> SecretStore:
    """The secrets of `instance`. Not in its own folder: they outlive it, as the repository does."""
    return SecretStore(directory.root / "secrets" / check_name(instance, what="instance"))


def known(name: str) -> Wanted:
    """The secret `name`. Raises UsageError for one that no piece of the tree wants."""
    if name not in KNOWN:
        raise UsageError(
            f"no piece of the tree wants a secret {name!r}", resolution=f"the secrets are {', '.join(KNOWN)}"
        )
    return KNOWN[name]


def place_of(instance: str, name: str) -> str:
    """Where the encrypted file of a secret is in the repository."""
    return f"clusters/{instance}/{KNOWN[name].layer}/secrets/{name}.yaml"


def wanted_by(spec: "LibvirtSpec | AwsSpec") -> list[Wanted]:
    """The secrets that the spec's tree names, and that somebody has to give."""
    return [KNOWN[name] for name in _wanted_by(spec)]


def require(store: SecretStore, spec: "LibvirtSpec | AwsSpec", *, instance: str) -> None:
    """See, before anything is made, that every secret is there that the tree wants.

    Raises PreconditionError naming each that is not, and how to give it. For real runs: a rehearsal's
    cluster reads none.
    """
    lacking = [
        condition
        for condition in (store.condition(each) for each in wanted_by(spec))
        if condition.state != "ready"
    ]
    if not lacking:
        return
    first = lacking[0].wanted
    instead = "; or leave it out: ingress.tunnel: none" if first.name == "tunnel-token" else ""
    raise PreconditionError(
        f"{len(lacking)} secret{'s are' if len(lacking) > 1 else ' is'} missing that the platform needs",
        details="\n".join(f"{each.wanted.name}: {each.state}; {each.reason}" for each in lacking),
        where=instance,
        resolution=f"`zave secrets set {instance} {first.name} {first.fields[0]}=FILE` encrypts it{instead}",
    )


def _wanted_by(spec: "LibvirtSpec | AwsSpec") -> Iterator[str]:
    if spec.gitops.profile == "none":
        return
    if spec.platform == "libvirt-k3s" and spec.ingress.tunnel == "cloudflare":
        yield "tunnel-token"
    if spec.gitops.profile == "bigbang":
        yield "bigbang-credentials"
    # on AWS its role opens the bucket
    if spec.platform == "libvirt-k3s" and "velero" in spec.gitops.extras:
        yield "velero"


def _rules(recipient: str) -> bytes:
    return (
        "# For whom the program `sops` encrypts what is below this folder.\n"
        "creation_rules:\n"
        f"  - encrypted_regex: {quoted(ENCRYPTED_KEYS)}\n"
        f"    age: {recipient}\n"
    ).encode()
