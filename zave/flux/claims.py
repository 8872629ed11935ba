"""Who keeps a PersistentVolumeClaim: Kubernetes lets none go while a pod of a node mounts it."""

from collections.abc import Iterator

from zave.flux.kinds import Api, Document, Kind, controller_of, name_of

_POD = Kind("Pod", "pods")
_ENDED = ("Succeeded", "Failed")
# pod, replica set, deployment, an operator's object, the operator's operator
_DEEPEST = 8


def free(api: Api, *, namespace: str, claim: str) -> None:
    """Delete the workloads whose pods mount `claim`, each at its root; does not wait.

    The root: a StatefulSet that an operator keeps comes back, with new claims, unless the operator's
    own object goes. Flux must be at rest by then, or that comes back.
    """
    seen: set[tuple[str, str]] = set()
    for pod in _users(api, namespace, claim):
        resource, name = _root(api, namespace, pod)
        if (resource, name) not in seen:
            seen.add((resource, name))
            api.remove(resource, name, namespace=namespace)


def _users(api: Api, namespace: str, claim: str) -> Iterator[Document]:
    listed = api.get(f"/api/v1/namespaces/{namespace}/pods") or {}
    for pod in listed.get("items") or []:
        if (pod.get("status") or {}).get("phase") not in _ENDED and claim in _claims(pod):
            yield pod


def _claims(pod: Document) -> Iterator[str]:
    for volume in (pod.get("spec") or {}).get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            yield str(volume["persistentVolumeClaim"].get("claimName"))
        elif "ephemeral" in volume:
            # a claim that Kubernetes makes for the pod's lifetime
            yield f"{name_of(pod)}-{volume.get('name')}"


def _root(api: Api, namespace: str, pod: Document) -> tuple[str, str]:
    """The last of the chain of controllers that is there: kind as `Kind.version.group`, and name."""
    root = (f"{_POD.name}.v1.", name_of(pod))
    item: Document | None = pod
    for _ in range(_DEEPEST):
        owner = controller_of(item) if item is not None else None
        # the kubelet's own pods are controlled by their node
        if owner is None or owner.get("kind") == "Node":
            break
        group, _, version = str(owner.get("apiVersion")).rpartition("/")
        resource, name = f"{owner.get('kind')}.{version}.{group}", str(owner.get("name"))
        item = api.find(resource, name, namespace=namespace)
        if item is None:
            break
        root = (resource, name)
    return root
