"""A rendered tree, built as Flux builds it: kustomize for each layer, then strict substitution."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from zave.errors import UsageError
from zave.gitops.manifests import Identity, Manifest, read_manifests

ROOT = "clusters"
"""The layer that the bootstrap makes: Flux's own objects, the variables, the other layers."""

_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io"


class Kustomize(Protocol):
    """Builds kustomizations; `zave.tools.kubectl.Kubectl` does."""

    def kustomize(self, folder: Path) -> str:
        """The YAML documents that `folder` builds to. Raises ToolFailedError."""
        ...


@dataclass(frozen=True)
class Layer:
    """One of Flux's Kustomizations: its name, its folder in the tree and the values of its variables."""

    name: str
    folder: str
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Built:
    """All objects of one environment, by identity, and the ConfigMaps that variables come from."""

    objects: Mapping[Identity, Manifest]
    sources: frozenset[Identity]


def build_tree(tree: Path, *, instance: str, kustomize: Kustomize) -> Built:
    """Build every layer of `instance` in the rendered `tree`.

    Raises UsageError when there is no such instance, for a layer that points outside the tree or
    nowhere, and for an object that two layers hold: Flux's Kustomizations would undo each other's work.
    """
    if not (tree / ROOT / instance).is_dir():
        raise UsageError(
            f"the tree has no {ROOT}/{instance}",
            where=str(tree),
            resolution="name the top of the platform's repository, and an instance that is in it",
        )
    root = list(read_manifests(kustomize.kustomize(tree / ROOT / instance), layer=ROOT, variables=None))
    layers = [_layer(tree, manifest, root) for manifest in root if _is_layer(manifest)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        texts = list(pool.map(lambda layer: kustomize.kustomize(tree / layer.folder), layers))
    objects: dict[Identity, Manifest] = {}
    for manifest in [*root, *_all(layers, texts)]:
        other = objects.setdefault(manifest.identity, manifest)
        if other is not manifest:
            raise UsageError(
                f"{manifest.identity} is in two layers",
                where=f"{other.layer} and {manifest.layer}",
                resolution="keep it in one of them",
            )
    sources = {source for m in root if _is_layer(m) for source, _ in _sources(m)}
    return Built(objects, frozenset(sources))


def _all(layers: Sequence[Layer], texts: Sequence[str]) -> Iterator[Manifest]:
    for layer, text in zip(layers, texts, strict=True):
        yield from read_manifests(text, layer=layer.name, variables=layer.variables)


def _is_layer(manifest: Manifest) -> bool:
    return (manifest.identity.kind, manifest.identity.group) == ("Kustomization", _KUSTOMIZATION)


def _layer(tree: Path, manifest: Manifest, root: Sequence[Manifest]) -> Layer:
    name, spec = manifest.identity.name, manifest.value.get("spec") or {}
    folder = PurePosixPath(str(spec.get("path") or ""))
    if folder.is_absolute() or ".." in folder.parts or not (tree / folder).is_dir():
        raise UsageError(
            f"the layer {name} points at {str(folder)!r}, which is no folder of the tree",
            where=str(tree),
            resolution="spec.path of a Kustomization is a folder of the repository",
        )
    build = spec.get("postBuild") or {}
    variables: dict[str, str] = {}
    for source, optional in _sources(manifest):
        found = next((m for m in root if m.identity == source), None)
        if found is not None:
            # Flux joins the lines of a value
            variables |= {k: str(v).replace("\n", "") for k, v in (found.value.get("data") or {}).items()}
        elif not optional:
            raise UsageError(f"the variables of the layer {name} are not there: {source}", where=str(tree))
    variables |= {key: str(value).replace("\n", "") for key, value in (build.get("substitute") or {}).items()}
    return Layer(name, str(folder), variables)


def _sources(manifest: Manifest) -> Iterator[tuple[Identity, bool]]:
    """The ConfigMaps that a layer takes its variables from, and whether each may be missing.

    Secrets are left out: they are encrypted in the tree, and what they hold is nobody's to compare.
    """
    build: Mapping[str, Any] = (manifest.value.get("spec") or {}).get("postBuild") or {}
    for each in build.get("substituteFrom") or []:
        if each.get("kind") == "ConfigMap":
            name = str(each.get("name"))
            yield Identity("ConfigMap", manifest.identity.namespace, name), bool(each.get("optional"))
