"""What images are called: where one comes from, and what it will be called in an instance's registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zave.errors import UsageError

SHARED = "apps"
"""The repository of images that have none of their own name."""

_ARCHIVES = ("docker-archive:", "oci-archive:")
_TAG = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
# as the distribution specification has it; a host is told by its dot, its port, or by being localhost
_REFERENCE = re.compile(
    rf"(?:docker://)?(?P<name>(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:[0-9]))"
    rf"(?::[0-9]{{1,5}})?/)?{_PART}(?:/{_PART})*)(?::(?P<tag>{_TAG}))?(?P<digest>@sha256:[0-9a-f]{{64}})?"
)
_OWN = re.compile(rf"(?P<repository>{_PART}):(?P<tag>{_TAG})")
_FORMS = "write HOST/PATH:TAG, docker-archive:FILE:NAME:TAG or oci-archive:FILE:NAME:TAG"


@dataclass(frozen=True)
class Source:
    """An image as it was named: `name` is skopeo's for it; `base` and `tag` are "" where none is said."""

    name: str
    base: str
    tag: str


@dataclass(frozen=True)
class Shipment:
    """One image to copy: a source by skopeo's name, a target as `HOST/PATH:TAG`."""

    source: str
    target: str

    @property
    def repository(self) -> str:
        """The target's repository, without its host."""
        return self.target.partition("/")[2].rpartition(":")[0]

    @property
    def tag(self) -> str:
        """The target's tag."""
        return self.target.rpartition(":")[2]


def parse_source(text: str) -> Source:
    """A reference to a registry, or the file of an archive, which must be there. Raises UsageError."""
    for kind in _ARCHIVES:
        if text.startswith(kind):
            return _archive(kind, text.removeprefix(kind))
    matched = _REFERENCE.fullmatch(text)
    if matched is None:
        raise UsageError(f"{text!r} is not the name of an image", resolution=_FORMS)
    if matched["tag"] and matched["digest"]:
        raise UsageError(
            f"{text} has both a tag and a digest",
            resolution="name the digest alone, and the tag it is to get by --as",
        )
    name = text.removeprefix("docker://")
    return Source(f"docker://{name}", matched["name"].rpartition("/")[2], matched["tag"] or "")


def shipments(
    images: list[str], repositories: Mapping[str, str], *, renamed: str | None, instance: str
) -> list[Shipment]:
    """Where each image goes. `repositories` has the URL of each by its name; `renamed` is --as.

    Raises UsageError for a name that is none, an image without a repository, and two with one name.
    """
    if renamed is not None and len(images) != 1:
        raise UsageError("--as names one image", resolution="push the images one by one")
    found: dict[str, Shipment] = {}
    for image in images:
        repository, tag = _place(parse_source(image), image, repositories, renamed)
        if repository not in repositories:
            raise UsageError(
                f"{instance} has no repository for {image}",
                details=f"there are: {', '.join(sorted(repositories)) or 'none'}",
                resolution=f"add {repository} to registry.repositories in environment.yaml, then "
                f"`zave up {instance}`; or name one that there is: --as REPOSITORY:TAG",
            )
        shipment = Shipment(parse_source(image).name, f"{repositories[repository]}:{tag}")
        if found.setdefault(shipment.target, shipment) != shipment:
            raise UsageError(
                f"two images would be {shipment.target}", resolution="push one of them with --as"
            )
    return list(found.values())


def _place(
    source: Source, text: str, repositories: Mapping[str, str], renamed: str | None
) -> tuple[str, str]:
    """(repository, tag)."""
    if renamed is not None:
        matched = _OWN.fullmatch(renamed)
        if matched is None:
            raise UsageError(
                f"{renamed!r} is not a repository with a tag", resolution="write --as apps:shop-1.4"
            )
        return matched["repository"], matched["tag"]
    if not (source.base and source.tag):
        raise UsageError(
            f"{text} has no name with a tag",
            details="a tag in the registry can be set once, so none is guessed",
            resolution=f"{_FORMS}; or say what it is to be called: --as REPOSITORY:TAG",
        )
    if source.base in repositories or SHARED not in repositories:
        return source.base, source.tag
    tag = f"{source.base}-{source.tag}"
    if re.fullmatch(_TAG, tag) is None:
        raise UsageError(f"{tag} is too long for a tag", resolution="say a shorter one: --as apps:TAG")
    return SHARED, tag


def _archive(kind: str, rest: str) -> Source:
    """`FILE` or `FILE:NAME:TAG`: a colon cannot be in the file's path (containers-transports(5))."""
    file, _, reference = rest.partition(":")
    path = Path(file)
    if not file or not path.is_file():
        raise UsageError(f"there is no file {file or rest!r}", resolution=_FORMS)
    if not reference:
        return Source(f"{kind}{path.absolute()}", "", "")
    matched = _REFERENCE.fullmatch(reference)
    if matched is None or matched["digest"] or ":" in str(path.absolute()):
        raise UsageError(f"{kind}{rest} cannot be understood", resolution=_FORMS)
    base = matched["name"].rpartition("/")[2]
    return Source(f"{kind}{path.absolute()}:{reference}", base, matched["tag"] or "")
