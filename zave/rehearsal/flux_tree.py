"""What a rendered tree holds that a rehearsed Flux must know: HelmReleases and claims, by layer.

Read without a YAML parser, and only as deep as that: it is on the way of every rehearsed `up`.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ENTRY = re.compile(r"^ *- [\"']?(\.{1,2}/[^\"'\s#]+|[^\"'\s#:]+\.ya?ml)[\"']?\s*$", re.MULTILINE)
_LISTS = re.compile(r"^(resources|bases):\s*$", re.MULTILINE)
_NEXT_KEY = re.compile(r"^\S", re.MULTILINE)
_NAMESPACE = re.compile(r"^namespace: *[\"']?([a-z0-9.-]+)", re.MULTILINE)
_KIND = re.compile(r"^kind: *(HelmRelease|PersistentVolumeClaim)\s*$", re.MULTILINE)
_METADATA = re.compile(r"^metadata:\s*\n((?: +.*\n?)+)", re.MULTILINE)
_FIELD = re.compile(r"^  (name|namespace): *[\"']?([A-Za-z0-9.-]+)", re.MULTILINE)
# a folder that includes itself would never end
_DEEPEST = 12
_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Found:
    """One object of a tree: `layer` is the Kustomization that applies it."""

    kind: str
    name: str
    namespace: str
    layer: str


def read_tree(tree: Path, *, path: str, layers: tuple[str, ...]) -> list[Found]:
    """The HelmReleases and claims of each layer; `path` is the cluster's folder in the tree.

    A layer without a folder of its own has none. What cannot be read is passed over: whether a tree is
    right, kustomize decides.
    """
    top = tree.resolve()
    found: dict[tuple[str, str, str], Found] = {}
    for layer in layers:
        for each in _objects(top / path / layer, top, layer=layer, namespace=None, depth=0):
            # an overlay's patch names an object again: the first to name it is the layer's
            found.setdefault((each.kind, each.namespace, each.name), each)
    return list(found.values())


def _objects(folder: Path, top: Path, *, layer: str, namespace: str | None, depth: int) -> Iterator[Found]:
    text = _text(folder / "kustomization.yaml", top)
    if depth > _DEEPEST:
        return
    own = _NAMESPACE.search(text)
    # the outermost namespace wins, as in kustomize
    namespace = namespace or (own[1] if own else None)
    for entry in _entries(text):
        place = folder / entry
        if entry.endswith((".yaml", ".yml")):
            yield from _in_file(_text(place, top), layer, namespace)
        else:
            yield from _objects(place, top, layer=layer, namespace=namespace, depth=depth + 1)


def _entries(text: str) -> Iterator[str]:
    for match in _LISTS.finditer(text):
        end = _NEXT_KEY.search(text, match.end())
        yield from _ENTRY.findall(text[match.end() : end.start() if end else len(text)])


def _in_file(text: str, layer: str, namespace: str | None) -> Iterator[Found]:
    for document in text.split("\n---"):
        kind, metadata = _KIND.search(document), _METADATA.search(document)
        if kind is None or metadata is None:
            continue
        fields = dict(_FIELD.findall(metadata[1]))
        if "name" in fields:
            yield Found(kind[1], fields["name"], namespace or fields.get("namespace", "default"), layer)


def _text(path: Path, top: Path) -> str:
    with suppress(OSError, UnicodeDecodeError, RuntimeError):
        place = path.resolve()
        # a tree is the user's: it may point anywhere
        if place.is_relative_to(top) and place.stat().st_size <= _LARGEST:
            return place.read_text(encoding="utf-8")
    return ""
