"""From the file `environment.yaml` to a checked spec, and back to plain data."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.errors import SpecError, UsageError
from zave.spec.kept import KeptSection, KeptSpecs
from zave.spec.shown import MAX_BYTES, shown

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec
    from zave.spec.yaml_loader import Document

    Spec = LibvirtSpec | AwsSpec

PLATFORMS = ("libvirt-k3s", "aws-eks")


def load_spec(path: Path, *, kept: Path | None = None) -> "Spec":
    """The spec in the file at `path`; `kept` is the folder of `KeptSpecs`, if any.

    Raises SpecError with `file:line` in `where`, one message for all that is wrong. Anything that is
    not a regular file of a reasonable size is refused without being read to its end.
    """
    where = _displayed(path)
    return _known_or_parsed(_read(path, where=where), where=where, kept=kept)


def _known_or_parsed(text: bytes, *, where: str, kept: Path | None, recorded: bool = False) -> "Spec":
    if kept is None:
        return parse_spec(text, where=where, recorded=recorded)
    specs = KeptSpecs(kept)
    known = specs.find(text)
    if known is not None:
        return known
    spec = parse_spec(text, where=where, recorded=recorded)
    document = spec_document(spec)
    # the record will hold the document, and `down` works from the record
    for same in {text, _recorded(document)}:
        specs.keep(same, spec, document)
    return spec


def parse_spec(text: str | bytes, *, where: str, recorded: bool = False) -> "Spec":
    """The spec in `text`; `where` names its file in errors. Raises SpecError.

    `recorded`: it was accepted once, so only each value is checked, and not how they fit together.
    """
    # here: a spec that is known already needs neither
    from pydantic import ValidationError

    from zave.spec.models import RECORDED
    from zave.spec.yaml_loader import parse_yaml

    document = parse_yaml(text, where=where)
    kind = _platform(document)
    model = _model(kind)
    try:
        return model.model_validate(document.value, context={RECORDED: recorded})
    except ValidationError as error:
        from zave.spec.explain import explain

        other = next(platform for platform in PLATFORMS if platform != kind)
        raise explain(error, document=document, model=model, other=lambda: _model(other)) from error


def spec_document(spec: "Spec") -> dict[str, Any]:
    """`spec` as JSON data in the form of `environment.yaml`, defaults filled in.

    Equal specs give equal documents, however their sizes and durations were written; the document
    is what records keep and fingerprints cover, and `spec_from_document` reads it back.
    """
    if isinstance(spec, KeptSection):
        return spec.document()
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def spec_from_document(document: Mapping[str, Any], *, where: str, kept: Path | None = None) -> "Spec":
    """The spec that `spec_document` wrote, each value checked again; `where` names the record in errors.

    What a later zave asks of values that go together is not asked of a record: it must come down.
    """
    return _known_or_parsed(_recorded(document), where=where, kept=kept, recorded=True)


def _recorded(document: Mapping[str, Any]) -> bytes:
    """`document` as text. JSON is YAML: what comes from a record goes through the same checks as a file.

    Its first line keeps it apart from a file of the same content, of which more is asked.
    """
    return b"# on record\n" + json.dumps(document, indent=1).encode()


def spec_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an `environment.yaml` of platform `kind`.

    Raises UsageError for a kind that is not one of `PLATFORMS`.
    """
    if kind not in PLATFORMS:
        raise UsageError(
            f"{shown(kind)} is not a platform kind", resolution=f"use one of {', '.join(PLATFORMS)}"
        )
    from zave.spec.schema import schema_of

    return schema_of(_model(kind), title=f"environment.yaml of platform {kind}")


def _model(kind: str) -> "type[LibvirtSpec] | type[AwsSpec]":
    # here: each costs a few milliseconds to build, and a run needs one of them
    if kind == "libvirt-k3s":
        from zave.spec.libvirt import LibvirtSpec

        return LibvirtSpec
    from zave.spec.aws import AwsSpec

    return AwsSpec


def _platform(document: "Document") -> str:
    value, where = document.value, document.where
    choices = " or ".join(f"`platform: {platform}`" for platform in PLATFORMS)
    if value is None:
        raise SpecError("the file is empty", where=f"{where}:1", resolution=f"start it with {choices}")
    if not isinstance(value, dict):
        raise SpecError(
            f"the file holds {shown(value)} instead of keys with values",
            where=f"{where}:{document.line_of(())}",
            resolution=f"start it with {choices}",
        )
    if "platform" not in value:
        raise SpecError(
            "platform is missing",
            where=f"{where}:{document.line_of(())}",
            details=f"keys: {', '.join(shown(key) for key in list(value)[:10])}",
            resolution=f"start the file with {choices}",
        )
    platform = value["platform"]
    if platform not in PLATFORMS:
        raise SpecError(
            f"platform: {shown(platform)} is not one of {', '.join(PLATFORMS)}",
            where=f"{where}:{document.line_of(('platform',))}",
            details=f"value: {shown(platform)}",
            resolution=f"write {choices}",
        )
    return str(platform)


def _displayed(path: Path) -> str:
    """`path` as messages show it: from the working directory where it lies below it."""
    try:
        near = path.absolute().relative_to(Path.cwd())
    except (ValueError, OSError):
        near = path
    # a file name may hold line breaks and escape sequences
    return "".join(letter if letter.isprintable() else "?" for letter in str(near))


def _read(path: Path, *, where: str) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to must not hang
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        brief = "there is no environment file"
        if path.is_symlink():
            brief = "the environment file is a link to a file that is not there"
        raise SpecError(
            brief, where=where, resolution="check the name; `zave init` makes a folder with examples"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SpecError(
            f"the environment file cannot be opened: {reason}",
            where=where,
            resolution="check its permissions and those of its folders",
        ) from error
    # before fdopen, which has an error of its own for folders
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not regular:
        os.close(descriptor)
        raise SpecError(
            "the environment file is not a regular file", where=where, resolution="put a text file there"
        )
    with os.fdopen(descriptor, "rb") as file:
        # one byte more than may be: the loader refuses it as too large, and no more is ever read
        return file.read(MAX_BYTES + 1)
