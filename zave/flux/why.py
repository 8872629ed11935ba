"""Why something of Flux's is not ready, in the words of those who know: events, and pods themselves.

A Kustomization waits for what it applied, a HelmRelease for its pods: the reason is at the end of that
chain. What is read there is written by others; it is bounded here, and cleaned.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from zave.errors import StepFailedError
from zave.flux.kinds import (
    HELM_RELEASE,
    KUSTOMIZATION,
    Api,
    Document,
    Groups,
    all_of,
    conditions_of,
    name_of,
    namespace_of,
)
from zave.flux.readiness import reconciliation
from zave.ports.flux import Reconciliation
from zave.text import clean

_MOST_RELEASES = 2
_MOST_PODS = 3
_MOST_EVENTS = 3
_LOG_LINES = 8
_LONGEST_LINE = 300
_LONGEST = 3000
# what a container that waits says while everything is well
_WELL = ("ContainerCreating", "PodInitializing")


def reason_of(api: Api, groups: Groups, of: Reconciliation) -> str:
    """What stands behind `of`, a line a fact; empty where nothing is found."""
    lines: list[str] = []
    try:
        for line in _lines(api, groups, of):
            lines.append(_bounded(line))
    except StepFailedError as error:
        # logs come from machines that may be ill, and not everybody may read them: keep what was found
        lines.append(f"more is not to be had: {error.brief}")
    return "\n".join(lines)[:_LONGEST]


def _lines(api: Api, groups: Groups, of: Reconciliation) -> Iterator[str]:
    kind = KUSTOMIZATION if of.kind == KUSTOMIZATION.name else HELM_RELEASE
    if kind not in groups:
        return
    item = api.get(groups.path(kind, namespace=of.namespace, name=of.name))
    if item is None:
        yield f"{of.kind} {of.namespace}/{of.name} is gone"
        return
    yield from _events(api, of.kind, namespace=of.namespace, name=of.name)
    if kind == HELM_RELEASE:
        yield from _of_release(api, item)
        return
    waiting = [each for each in _applied(api, groups, item) if not reconciliation(each).ready]
    # what only waits for another release is no reason itself
    waiting.sort(key=_is_waiting_itself)
    for each in waiting[:_MOST_RELEASES]:
        yield f"HelmRelease {namespace_of(each)}/{name_of(each)}: {reconciliation(each).message}"
        yield from _events(api, HELM_RELEASE.name, namespace=namespace_of(each), name=name_of(each))
        yield from _of_release(api, each)


def _is_waiting_itself(release: Document) -> bool:
    return (conditions_of(release).get("Ready") or {}).get("reason") == "DependencyNotReady"


def _applied(api: Api, groups: Groups, kustomization: Document) -> list[Document]:
    """The HelmReleases that a Kustomization has applied, by its inventory (`namespace_name_group_kind`)."""
    inventory: Document = (kustomization.get("status") or {}).get("inventory") or {}
    ids = {str(each.get("id")) for each in inventory.get("entries") or []}
    return [
        item
        for item in all_of(api, groups, HELM_RELEASE)
        if f"{namespace_of(item)}_{name_of(item)}_{HELM_RELEASE.group}_{HELM_RELEASE.name}" in ids
    ]


def _of_release(api: Api, release: Document) -> Iterator[str]:
    spec = release.get("spec") or {}
    namespace = str(spec.get("targetNamespace") or namespace_of(release))
    listed = api.get(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods") or {}
    ailing = [pod for pod in listed.get("items") or [] if _ails(pod)]
    own = [pod for pod in ailing if _is_of(pod, release)]
    for pod in (own or ailing)[:_MOST_PODS]:
        yield from _of_pod(api, namespace, pod)


def _is_of(pod: Document, release: Document) -> bool:
    name = str((release.get("spec") or {}).get("releaseName") or name_of(release))
    # the label that Helm asks charts for (its best practices, "Labels and Annotations")
    labels = pod["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/instance") == name or name_of(pod).startswith(f"{name}-")


def _ails(pod: Document) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    ready = conditions_of(pod).get("Ready") or {}
    return phase != "Succeeded" and ready.get("status") != "True"


def _of_pod(api: Api, namespace: str, pod: Document) -> Iterator[str]:
    name = name_of(pod)
    yield f"pod {namespace}/{name}: {(pod.get('status') or {}).get('phase')}"
    placed = conditions_of(pod).get("PodScheduled") or {}
    if placed.get("status") == "False":
        yield f"  {placed.get('reason')}: {placed.get('message')}"
    for container in _containers(pod):
        yield from _of_container(api, namespace, name, container)
    yield from _events(api, "Pod", namespace=namespace, name=name)


def _containers(pod: Document) -> Sequence[Document]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _of_container(api: Api, namespace: str, pod: str, container: Document) -> Iterator[str]:
    name = str(container.get("name"))
    waiting: Document = (container.get("state") or {}).get("waiting") or {}
    ended: Document = _ended(container)
    if waiting and waiting.get("reason") not in _WELL:
        yield f"  container {name}: {waiting.get('reason')}: {waiting.get('message') or ''}"
    if ended and ended.get("exitCode") != 0:
        restarts = container.get("restartCount") or 0
        yield (
            f"  container {name} ended with exit code {ended.get('exitCode')} ({ended.get('reason')}), "
            f"restarted {restarts} times; its last words:"
        )
        said = api.logs(pod, namespace=namespace, container=name, lines=_LOG_LINES, previous=restarts > 0)
        yield from (f"    {line}" for line in said.splitlines()[-_LOG_LINES:])


def _ended(container: Document) -> Any:
    states = (container.get("state") or {}, container.get("lastState") or {})
    return next((state["terminated"] for state in states if state.get("terminated")), {})


def _events(api: Api, kind: str, *, namespace: str, name: str) -> Iterator[str]:
    """The newest warnings about an object, each text once."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning"
    path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events?fieldSelector={quote(selector, safe='')}"
    listed = (api.get(path) or {}).get("items") or []
    newest = sorted(listed, key=_moment)
    texts = dict.fromkeys(f"  {each.get('reason')}: {each.get('message')}" for each in reversed(newest))
    yield from reversed(list(texts)[:_MOST_EVENTS])


def _moment(event: Document) -> str:
    series: Document = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")


def _bounded(line: str) -> str:
    text = " ".join(clean(line).split("\n"))
    return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + " ..."
