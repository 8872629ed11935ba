"""A cluster's API in memory: objects by their paths, and what was asked of it, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zave.flux.kinds import Document

VERSIONS = {
    "apps": "v1",
    "networking.k8s.io": "v1",
    "kustomize.toolkit.fluxcd.io": "v1",
    "helm.toolkit.fluxcd.io": "v2",
    "source.toolkit.fluxcd.io": "v1",
    "karpenter.sh": "v1",
    "argoproj.io": "v1alpha1",
    "monitoring.coreos.com": "v1",
}
PLURALS = {"Ingress": "ingresses", "Prometheus": "prometheuses", "GitRepository": "gitrepositories"}


def thing(
    kind: str, name: str, *, group: str = "", namespace: str = "", spec: Any = None, **more: Any
) -> dict[str, Any]:
    """An object; `more` are fields of its metadata, but for `status`."""
    version = f"{group}/{VERSIONS[group]}" if group else "v1"
    status = more.pop("status", {})
    metadata = {"name": name, "generation": 1, **more}
    if namespace:
        metadata["namespace"] = namespace
    item = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec or {}}
    return {**item, "status": status}


@dataclass
class MemoryApi:
    """Implements `zave.flux.kinds.Api`. `fixed` answers whole paths, such as those of events."""

    items: list[dict[str, Any]] = field(default_factory=list)
    groups: frozenset[str] = frozenset(VERSIONS)
    fixed: dict[str, Any] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stubborn: frozenset[str] = frozenset()

    def get(self, path: str) -> Document | None:
        """The groups, an object, or a list of them."""
        if path == "/apis":
            preferred = {group: {"version": VERSIONS[group]} for group in sorted(self.groups)}
            return {"groups": [{"name": n, "preferredVersion": v} for n, v in preferred.items()]}
        if path in self.fixed:
            answer = self.fixed[path]
            if isinstance(answer, Exception):
                raise answer
            found: Document = answer
            return found
        for item in self.items:
            if path_of(item) == path:
                return item
        listed = [item for item in self.items if path in lists_of(item)]
        # items of a list name neither kind nor version
        return {"items": [{k: v for k, v in i.items() if k not in ("kind", "apiVersion")} for i in listed]}

    def delete(self, path: str) -> bool:
        """Goes at once."""
        self.asked.append(f"delete {path}")
        before = len(self.items)
        self.items = [item for item in self.items if path_of(item) != path]
        return len(self.items) < before

    def remove(self, resource: str, name: str, *, namespace: str) -> bool:
        """Goes at once, by its kind."""
        self.asked.append(f"remove {resource} {namespace}/{name}")
        return True

    def find(self, resource: str, name: str, *, namespace: str) -> Document | None:
        """An object by its kind."""
        kind, version, group = resource.split(".", 2)
        wanted = (kind, f"{group}/{version}" if group else version, name)
        # a namespace says nothing to kinds that have none
        near = [item for item in self.items if item["metadata"].get("namespace") in (None, namespace)]
        return next((item for item in near if _identity(item) == wanted), None)

    def patch(self, objects: Sequence[Document], change: Document) -> None:
        """Changes all at once, but for what is stubborn."""
        for each in objects:
            name = each["metadata"]["name"]
            self.asked.append(f"patch {each['kind']} {name}")
            for item in self.items:
                same = item["metadata"]["name"] == name and item["kind"] == each["kind"]
                if same and name not in self.stubborn:
                    _merge(item, change)

    def apply(self, objects: Sequence[Document]) -> None:
        """Remembers that it was asked."""
        self.asked += [f"apply {each['kind']} {each['metadata']['name']}" for each in objects]

    def logs(self, pod: str, *, namespace: str, container: str, lines: int, previous: bool = False) -> str:
        """What a container said, by its name."""
        self.asked.append(f"logs {container}{' --previous' if previous else ''}")
        return "\n".join(self.said.get(container, "").splitlines()[-lines:])


def path_of(item: Mapping[str, Any]) -> str:
    """Where the API has it."""
    return f"{lists_of(item)[0]}/{item['metadata']['name']}"


def lists_of(item: Mapping[str, Any]) -> list[str]:
    """The lists that it is in: its namespace's, and all."""
    kind, version = str(item["kind"]), str(item["apiVersion"])
    head = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, kind.lower() + "s")
    namespace = item["metadata"].get("namespace")
    return ([f"{head}/namespaces/{namespace}/{plural}"] if namespace else []) + [f"{head}/{plural}"]


def _identity(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["kind"], item["apiVersion"], item["metadata"]["name"]


def _merge(target: dict[str, Any], change: Mapping[str, Any]) -> None:
    """A JSON merge patch (RFC 7386)."""
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = value
