"""What Flux says of its objects, and what a teardown has to see gone, read from the API's documents."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from zave.flux.kinds import (
    CLAIM,
    INGRESS,
    KUSTOMIZATION,
    NODE_CLAIM,
    NODE_POOL,
    SERVICE,
    VOLUME,
    Document,
    Kind,
    conditions_of,
    name_of,
    namespace_of,
)
from zave.ports.flux import Holder, Reconciliation
from zave.text import clean

_LONGEST = 2000
# what made a Kustomization, where another Kustomization did: labels of the kustomize-controller
_MADE_BY = f"{KUSTOMIZATION.group}/name"
_MADE_IN = f"{KUSTOMIZATION.group}/namespace"
# of Kubernetes' own cloud controllers, and of the AWS Load Balancer Controller 3.5
_BALANCED = frozenset({"service.kubernetes.io/load-balancer-cleanup", "service.k8s.aws/resources"})


def reconciliation(item: Document) -> Reconciliation:
    """A Kustomization or HelmRelease as it stands.

    Not ready while its controller has not seen its newest generation: what it says is of an older one.
    """
    spec, status = item.get("spec") or {}, item.get("status") or {}
    conditions = conditions_of(item)
    ready, stalled = conditions.get("Ready") or {}, conditions.get("Stalled") or {}
    seen = status.get("observedGeneration") == item["metadata"].get("generation")
    message = str(ready.get("message") or "") if seen else "its controller has not looked at it yet"
    return Reconciliation(
        kind=str(item["kind"]),
        name=name_of(item),
        ready=seen and ready.get("status") == "True",
        message=clean(message)[:_LONGEST],
        namespace=namespace_of(item),
        suspended=bool(spec.get("suspend")),
        stalled=seen and stalled.get("status") == "True",
        revision=_commit(str(status.get("lastAppliedRevision") or "")),
    )


def holder(item: Document) -> Holder:
    """An object as a teardown sees it."""
    metadata = item["metadata"]
    return Holder(
        kind=str(item["kind"]),
        name=name_of(item),
        namespace=namespace_of(item),
        deleting=bool(metadata.get("deletionTimestamp")) or item["kind"] == VOLUME.name,
        finalizers=tuple(clean(each) for each in _finalizers(item)),
    )


def holds(kind: Kind, item: Document) -> bool:
    """Whether an object of `kind` owns something outside the cluster."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    if kind == SERVICE:
        # of another type now, the finalizer says that its load balancer is not gone yet
        return spec.get("type") == "LoadBalancer" or not _BALANCED.isdisjoint(_finalizers(item))
    if kind == INGRESS:
        # without a finalizer it is a rule for a proxy inside the cluster
        return bool(_finalizers(item))
    if kind == VOLUME:
        # bound ones go with their claims; these are being deleted, and their disks are still there
        doomed = spec.get("persistentVolumeReclaimPolicy") == "Delete"
        return doomed and status.get("phase") in ("Released", "Failed")
    return kind in (CLAIM, NODE_POOL, NODE_CLAIM)


def in_order(items: Sequence[Document]) -> list[Document]:
    """Kustomizations, each after those that made it and those that it depends on."""
    by_key = {(namespace_of(item), name_of(item)): item for item in items}
    before = {key: [each for each in _before(item) if each in by_key] for key, item in by_key.items()}
    try:
        keys: Iterable[tuple[str, str]] = TopologicalSorter(before).static_order()
        return [by_key[key] for key in keys]
    except CycleError:
        # Flux refuses such a tree itself; any order is as good
        return list(items)


def _before(item: Document) -> list[tuple[str, str]]:
    labels = item["metadata"].get("labels") or {}
    own = (namespace_of(item), name_of(item))
    found = [(str(labels.get(_MADE_IN, "")), str(labels.get(_MADE_BY, "")))]
    for each in (item.get("spec") or {}).get("dependsOn") or []:
        found.append((str(each.get("namespace") or own[0]), str(each.get("name"))))
    # the bootstrap's own is made by itself
    return [key for key in found if key != own]


def _commit(revision: str) -> str:
    """The commit of `main@sha1:2f1e...`; nothing of what names none, such as a chart's version."""
    return revision.rpartition(":")[2] if "@sha1:" in revision or "@sha256:" in revision else ""


def _finalizers(item: Document) -> list[str]:
    return [str(each) for each in item["metadata"].get("finalizers") or ()]
