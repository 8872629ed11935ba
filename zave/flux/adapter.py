"""`zave.ports.flux.Flux` over the API of a real cluster."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from zave.clock import Clock, rfc3339
from zave.errors import PreconditionError, StepFailedError, UnreachableError
from zave.flux.claims import free
from zave.flux.kinds import (
    CLAIM,
    FLUX_GROUP,
    GIT_REPOSITORY,
    HELM_RELEASE,
    HOLDING,
    KUSTOMIZATION,
    Api,
    Document,
    Groups,
    Kind,
    all_of,
    groups_of,
)
from zave.flux.pause import resume_all, suspend_all
from zave.flux.readiness import holder, holds, in_order, reconciliation
from zave.flux.why import reason_of
from zave.ports.flux import Holder, Presence, Reconciliation, Say, Source

NAMESPACE = "flux-system"

_KINDS = {kind.name: kind for kind in (*HOLDING, KUSTOMIZATION)}
# kubectl is mostly waiting; more of them at once would only fight for a small machine
_AT_ONCE = 4
# what Flux, inside the cluster, can follow
_FOLLOWED = ("https://", "ssh://")
# annotations by which Flux is asked: look now; forget earlier failures (helm-controller 1.0 and later)
_LOOK = "reconcile.fluxcd.io/requestedAt"
_AFRESH = "reconcile.fluxcd.io/resetAt"


class Installer(Protocol):
    """Puts Flux into a cluster; the program `flux` does, driven by `zave.tools.flux`."""

    def bootstrap(self, *, instance: str, source: Source, kubeconfig: Path, say: Say) -> None:
        """Install Flux's controllers and have them follow `source`. Safe to repeat."""
        ...


@dataclass(frozen=True)
class Way:
    """The way to one cluster: its API, and the kubeconfig that leads there (not made yet, or gone)."""

    api: Api
    kubeconfig: Path


class KubectlFlux:
    """Implements `zave.ports.flux.Flux`.

    `ways` gives the way to an instance's cluster. `secrets` are the objects that Flux must find before it
    starts, such as the key for encrypted secrets and the one for its repository: they go to the API on
    standard input and nowhere else.
    """

    def __init__(
        self,
        *,
        ways: Callable[[str], Way],
        installer: Installer,
        secrets: Callable[[str, Source], Sequence[Document]],
        clock: Clock,
    ) -> None:
        self._ways = ways
        self._installer = installer
        self._secrets = secrets
        self._clock = clock

    def presence(self, *, instance: str) -> Presence:
        """Absent: no kubeconfig was ever made, or it went with the cluster. Raises where the API refuses."""
        way = self._ways(instance)
        if not way.kubeconfig.is_file():
            return "absent"
        try:
            groups = groups_of(way.api)
        except UnreachableError:
            return "silent"
        return "flux" if FLUX_GROUP in groups.versions else "bare"

    def bootstrap(self, *, instance: str, source: Source, say: Say) -> None:
        """Secrets first, then Flux, which needs them; what a teardown put to rest is woken last."""
        if not source.url.startswith(_FOLLOWED):
            raise PreconditionError(
                "Flux in a real cluster cannot follow a repository on this machine",
                where=f"{instance}: {source.url}",
                resolution="set gitops.repository to one that the cluster can reach (https:// or ssh://); "
                "`local` is for rehearsals",
            )
        way = self._reached(instance)
        say("placing what Flux needs to read its repository and its secrets", None)
        # the namespace in a request of its own: a list is applied in any order
        way.api.apply([_NAMESPACE])
        objects = self._secrets(instance, source)
        if objects:
            way.api.apply(objects)
        say("installing Flux", None)
        self._installer.bootstrap(instance=instance, source=source, kubeconfig=way.kubeconfig, say=say)
        groups = groups_of(way.api)
        resume_all(way.api, groups)
        self._look_now(way.api, groups)

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        """Every Kustomization, then every HelmRelease, by namespace and name."""
        api, groups = self._served(instance)
        return [reconciliation(each) for each in _lists(api, groups, (KUSTOMIZATION, HELM_RELEASE))]

    def reason(self, *, instance: str, of: Reconciliation) -> str:
        """Warnings, and of pods that ail how they stand and what they said last."""
        api, groups = self._served(instance)
        return reason_of(api, groups, of)

    def suspend(self, *, instance: str) -> None:
        """Flux's objects, and Argo CD's automation where it is there."""
        suspend_all(*self._served(instance))

    def holders(self, *, instance: str) -> Sequence[Holder]:
        """By kind, machines last. Volumes count while they are released and not gone: their disks stand."""
        api, groups = self._served(instance)
        kinds = {kind.name: kind for kind in HOLDING}
        return [holder(each) for each in _lists(api, groups, HOLDING) if holds(kinds[each["kind"]], each)]

    def layers(self, *, instance: str) -> Sequence[Holder]:
        """Flux's Kustomizations in every namespace."""
        api, groups = self._served(instance)
        return [holder(each) for each in in_order(all_of(api, groups, KUSTOMIZATION))]

    def delete(self, *, instance: str, what: Holder) -> None:
        """A claim first, then who mounts it: what takes its place waits for a claim that is going."""
        api, path = self._place(instance, what)
        if path is not None and api.delete(path) and what.kind == CLAIM.name:
            free(api, namespace=what.namespace, claim=what.name)

    def release(self, *, instance: str, what: Holder) -> None:
        """Without finalizers, and asked again: a volume's deletion was not asked for by anybody."""
        api, path = self._place(instance, what)
        item = None if path is None else api.get(path)
        if path is not None and item is not None:
            api.patch([item], {"metadata": {"finalizers": None}})
            api.delete(path)

    def _reached(self, instance: str) -> Way:
        way = self._ways(instance)
        if not way.kubeconfig.is_file():
            raise StepFailedError(
                f"{instance} has no cluster that could be asked",
                where=str(way.kubeconfig),
                resolution=f"zave up {instance} makes it",
            )
        return way

    def _served(self, instance: str) -> tuple[Api, Groups]:
        api = self._reached(instance).api
        return api, groups_of(api)

    def _place(self, instance: str, what: Holder) -> tuple[Api, str | None]:
        """The API, and where it has `what`; None where the kind itself is gone."""
        api, groups = self._served(instance)
        kind = _KINDS[what.kind]
        if kind not in groups:
            return api, None
        return api, groups.path(kind, namespace=what.namespace, name=what.name)

    def _look_now(self, api: Api, groups: Groups) -> None:
        """Have Flux look at its sources and at all that it applies, what had stalled afresh."""
        at = rfc3339(self._clock.now())
        api.patch(all_of(api, groups, GIT_REPOSITORY), _annotated({_LOOK: at}))
        api.patch(all_of(api, groups, KUSTOMIZATION), _annotated({_LOOK: at}))
        ailing = [each for each in all_of(api, groups, HELM_RELEASE) if not reconciliation(each).ready]
        api.patch(ailing, _annotated({_LOOK: at, _AFRESH: at}))


_NAMESPACE: Document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _annotated(annotations: dict[str, Any]) -> Document:
    return {"metadata": {"annotations": annotations}}


def _lists(api: Api, groups: Groups, kinds: Sequence[Kind]) -> list[Document]:
    """All objects of these kinds, in their order."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [item for items in pool.map(lambda kind: all_of(api, groups, kind), kinds) for item in items]
