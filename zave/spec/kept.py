"""Specs that were found right before on this machine: read back without checking them again.

pydantic, its models and the YAML loader cost 80 ms of CPU, a third of what a command needs until Terraform
runs (measured 2026-11-23). What is kept is filed under a digest of the very bytes that were checked and
of the code that checked them; anything else, a damaged file included, is checked as ever.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from zave import __version__

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

    Spec = LibvirtSpec | AwsSpec

# each is some 5 KB; the oldest go
_MOST = 32


class KeptSection:
    """A section with the attributes of its model, read-only; the whole spec has its document as well."""

    def __init__(self, values: Mapping[str, Any], *, document: str = "") -> None:
        self.__dict__.update(values)
        self.__dict__["_document"] = document

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{name} cannot be set: a spec is not changed")

    def document(self) -> dict[str, Any]:
        """What `spec_document` said of the spec when it was kept."""
        return cast(dict[str, Any], json.loads(self.__dict__["_document"]))


@dataclass(frozen=True)
class KeptSpecs:
    """Kept specs in `folder`, which only the user may write to. Never raises: in doubt nothing is kept."""

    folder: Path

    def find(self, text: bytes) -> "Spec | None":
        """The spec that these very bytes were found to hold, if that is known."""
        try:
            digest, _, content = self._file(text).read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                return None
            found = json.loads(content)
            values = _decoded(found["spec"]).__dict__
            return cast("Spec", KeptSection(values, document=json.dumps(found["document"])))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def keep(self, text: bytes, spec: "Spec", document: Mapping[str, Any]) -> None:
        """Remember that `text` holds `spec`, whose document is `document`."""
        import tempfile

        with suppress(OSError, TypeError):
            content = json.dumps({"document": document, "spec": _encoded(spec)}).encode()
            self.folder.mkdir(mode=0o700, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=".new-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            Path(name).replace(self._file(text))
            for surplus in sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime)[:-_MOST]:
                surplus.unlink(missing_ok=True)

    def _file(self, text: bytes) -> Path:
        digest = hashlib.sha256(f"{__version__}\n{_code()}\n".encode() + text)
        return self.folder / f"{digest.hexdigest()}.json"


def _code() -> list[tuple[str, int, int]]:
    """What the checks are made of: a developer changes them without a new version."""
    with os.scandir(Path(__file__).parent) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".py")]
    return sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files)


def _encoded(value: Any) -> Any:
    """`value` as JSON; what JSON does not have becomes a mapping with one key. Raises TypeError."""
    fields = getattr(type(value), "model_fields", None)
    if fields is not None:
        return {"section": {name: _encoded(getattr(value, name)) for name in fields}}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(each) for each in value]}
    if isinstance(value, dict):
        return {"mapping": {name: _encoded(each) for name, each in value.items()}}
    if isinstance(value, IPv4Network):
        return {"network": str(value)}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "section":
        return KeptSection({name: _decoded(each) for name, each in held.items()})
    if kind == "mapping":
        return {name: _decoded(each) for name, each in held.items()}
    return IPv4Network(held) if kind == "network" else tuple(_decoded(each) for each in held)
