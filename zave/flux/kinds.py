"""The kinds of objects that matter to Flux and to a teardown, and where a cluster's API has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

Document = Mapping[str, Any]


class Api(Protocol):
    """One cluster's API; `zave.tools.kubectl_api.KubectlApi` is the real one and says what is raised."""

    def get(self, path: str) -> Document | None:
        """The document at `path`, None for a 404."""
        ...

    def delete(self, path: str) -> bool:
        """Ask for the deletion of what is at `path`."""
        ...

    def remove(self, resource: str, name: str, *, namespace: str) -> bool:
        """Ask for the deletion of an object of a kind by `Kind.version.group`."""
        ...

    def find(self, resource: str, name: str, *, namespace: str) -> Document | None:
        """An object of a kind by `Kind.version.group`."""
        ...

    def patch(self, objects: Sequence[Document], change: Document) -> None:
        """Change all `objects` by one JSON merge patch."""
        ...

    def apply(self, objects: Sequence[Document]) -> None:
        """Apply `objects` on the server's side."""
        ...

    def logs(self, pod: str, *, namespace: str, container: str, lines: int, previous: bool = False) -> str:
        """The last `lines` of a container's log."""
        ...


@dataclass(frozen=True)
class Kind:
    """A kind by name, plural and API group; the core group is empty."""

    name: str
    plural: str
    group: str = ""


FLUX_GROUP = "kustomize.toolkit.fluxcd.io"

KUSTOMIZATION = Kind("Kustomization", "kustomizations", FLUX_GROUP)
HELM_RELEASE = Kind("HelmRelease", "helmreleases", "helm.toolkit.fluxcd.io")
GIT_REPOSITORY = Kind("GitRepository", "gitrepositories", "source.toolkit.fluxcd.io")
APPLICATION_SET = Kind("ApplicationSet", "applicationsets", "argoproj.io")
APPLICATION = Kind("Application", "applications", "argoproj.io")

SERVICE = Kind("Service", "services")
INGRESS = Kind("Ingress", "ingresses", "networking.k8s.io")
CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims")
VOLUME = Kind("PersistentVolume", "persistentvolumes")
NODE_POOL = Kind("NodePool", "nodepools", "karpenter.sh")
NODE_CLAIM = Kind("NodeClaim", "nodeclaims", "karpenter.sh")

HOLDING = (SERVICE, INGRESS, CLAIM, VOLUME, NODE_POOL, NODE_CLAIM)
"""In the order in which they had best be deleted: machines last, controllers may run on them."""


@dataclass(frozen=True)
class Groups:
    """The API groups that a cluster serves, each with the version that it prefers."""

    versions: Mapping[str, str]

    def __contains__(self, kind: Kind) -> bool:
        return kind.group in self.versions

    def path(self, kind: Kind, *, namespace: str = "", name: str = "") -> str:
        """Where the API has one object, or all of a kind (in one namespace, or in all)."""
        words = ["apis", kind.group, self.versions[kind.group]] if kind.group else ["api", "v1"]
        words += ["namespaces", namespace, kind.plural] if namespace else [kind.plural]
        words += [name] if name else []
        return "/" + "/".join(quote(word, safe="") for word in words)

    def version(self, kind: Kind) -> str:
        """The kind's apiVersion."""
        return f"{kind.group}/{self.versions[kind.group]}" if kind.group else "v1"


def groups_of(api: Api) -> Groups:
    """What the cluster serves now."""
    listed = (api.get("/apis") or {}).get("groups") or []
    versions = {str(each["name"]): str(each["preferredVersion"]["version"]) for each in listed}
    return Groups({"": "v1", **versions})


def all_of(api: Api, groups: Groups, kind: Kind, *, namespace: str = "") -> Sequence[Document]:
    """Every object of a kind, by namespace and name; none where the cluster does not know the kind."""
    if kind not in groups:
        return []
    listed = api.get(groups.path(kind, namespace=namespace)) or {}
    # items of a list name neither their kind nor its version
    marks = {"apiVersion": groups.version(kind), "kind": kind.name}
    items = [{**marks, **item} for item in listed.get("items") or []]
    return sorted(items, key=lambda item: (namespace_of(item), name_of(item)))


def name_of(item: Document) -> str:
    """An object's name."""
    return str(item["metadata"]["name"])


def namespace_of(item: Document) -> str:
    """An object's namespace, empty for what has none."""
    return str(item["metadata"].get("namespace") or "")


def conditions_of(item: Document) -> Mapping[str, Document]:
    """An object's conditions by their type."""
    return {str(each.get("type")): each for each in (item.get("status") or {}).get("conditions") or []}


def controller_of(item: Document) -> Document | None:
    """The owner that an object is controlled by."""
    owners: Iterator[Document] = iter(item["metadata"].get("ownerReferences") or [])
    return next((owner for owner in owners if owner.get("controller")), None)
