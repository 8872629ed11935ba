"""The controllers that a teardown has to do with, played by the test: one round whenever the clock runs.

Kubernetes' own (owners, claims in use, kubelets), Flux's, the AWS Load Balancer Controller and Karpenter.
Each lets go of what is deleted after `late` rounds, and of what is in `never` not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.system.kube_apiserver import KubeApiserver

FLUX = "finalizers.fluxcd.io"
BALANCER = "service.k8s.aws/resources"
PROTECTED = "kubernetes.io/pvc-protection"
MACHINE = "karpenter.sh/termination"

KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"
RELEASES = "/apis/helm.toolkit.fluxcd.io/v2/helmreleases"
APPLICATIONS = "/apis/argoproj.io/v1alpha1/applications"
SERVICES = "/api/v1/services"
CLAIMS = "/api/v1/persistentvolumeclaims"
PODS = "/api/v1/pods"
SETS = "/apis/apps/v1/statefulsets"
OPERATED = "/apis/monitoring.coreos.com/v1/prometheuses"
POOLS = "/apis/karpenter.sh/v1/nodepools"
MACHINES = "/apis/karpenter.sh/v1/nodeclaims"

ALL = (KUSTOMIZATIONS, RELEASES, APPLICATIONS, SERVICES, CLAIMS, OPERATED, SETS, PODS, POOLS, MACHINES)

_RELEASED_BY = {SERVICES: BALANCER, MACHINES: MACHINE, RELEASES: FLUX}
_MERGE = "application/merge-patch+json"


def place_of(path: str, item: Mapping[str, Any]) -> str:
    """Where the API has `item`, one of those at `path`."""
    head, _, plural = path.rpartition("/")
    metadata = item["metadata"]
    namespace = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{head}{namespace}/{plural}/{metadata['name']}"


@dataclass
class Controllers:
    """All of them. `tree` is what Flux applies from Git: a Kustomization's name to objects (path, object)."""

    server: KubeApiserver
    late: int = 2
    never: frozenset[str] = frozenset()
    tree: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = field(default_factory=dict)
    rounds: int = 0
    made_again: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    _seen: dict[str, int] = field(default_factory=dict)

    def round(self) -> None:
        """Each controller looks once."""
        self.rounds += 1
        self._collect()
        self._kubelets()
        self._flux()
        for path, finalizer in _RELEASED_BY.items():
            for item in self.items(path):
                self._release(path, item, finalizer)
        self._claims()
        self._karpenter()

    def items(self, path: str) -> list[dict[str, Any]]:
        """All objects at `path`."""
        listed = self.server.call("GET", path)
        return list(listed["items"]) if listed else []

    def _release(self, path: str, item: Mapping[str, Any], finalizer: str) -> None:
        """Take a finalizer off what is deleted, when its time has come."""
        metadata = item["metadata"]
        if not metadata.get("deletionTimestamp") or finalizer not in metadata.get("finalizers", ()):
            return
        place = place_of(path, item)
        since = self._seen.setdefault(place, self.rounds)
        if finalizer in self.never or self.rounds - since < self.late:
            return
        left = [each for each in metadata["finalizers"] if each != finalizer]
        self.server.call("PATCH", place, {"metadata": {"finalizers": left}}, kind=_MERGE)
        self.released.append(place)

    def _collect(self) -> None:
        """What has lost its owner goes; what is to be operated comes back."""
        there = {item["metadata"]["uid"] for path in ALL for item in self.items(path)}
        for path in (SETS, PODS, MACHINES):
            for item in self.items(path):
                owners = item["metadata"].get("ownerReferences", [])
                if owners and all(owner["uid"] not in there for owner in owners):
                    self.server.call("DELETE", place_of(path, item))

    def _kubelets(self) -> None:
        for item in self.items(PODS):
            if item["metadata"].get("deletionTimestamp"):
                gone_now = {"gracePeriodSeconds": 0}
                self.server.call("DELETE", place_of(PODS, item), gone_now)

    def _flux(self) -> None:
        for item in self.items(KUSTOMIZATIONS):
            name = item["metadata"]["name"]
            if item["spec"].get("suspend") or item["metadata"].get("deletionTimestamp"):
                self._release(KUSTOMIZATIONS, item, FLUX)
                continue
            for path, wanted in self.tree.get(name, ()):
                if self.server.call("GET", place_of(path, wanted)) is None:
                    collection = place_of(path, wanted).rpartition("/")[0]
                    self.server.call("POST", collection, wanted)
                    self.made_again.append(f"{wanted['kind']} {wanted['metadata']['name']}")

    def _claims(self) -> None:
        mounted = {
            (pod["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"])
            for pod in self.items(PODS)
            for volume in pod["spec"].get("volumes", ())
            if "persistentVolumeClaim" in volume
        }
        for item in self.items(CLAIMS):
            if (item["metadata"]["namespace"], item["metadata"]["name"]) not in mounted:
                self._release(CLAIMS, item, PROTECTED)

    def _karpenter(self) -> None:
        """A pool takes its machines along, and goes after the last of them."""
        machines = self.items(MACHINES)
        for pool in self.items(POOLS):
            if not pool["metadata"].get("deletionTimestamp"):
                continue
            for machine in machines:
                self.server.call("DELETE", place_of(MACHINES, machine))
            if not machines:
                self._release(POOLS, pool, MACHINE)


@dataclass
class RoundClock:
    """Virtual time: whenever somebody sleeps, the controllers have their round.

    `at` says what else happens in a round, by its number; while `silent` nobody has one.
    """

    controllers: Controllers
    at: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    slept: int = 0
    silent: bool = False
    _now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass, and the world with it."""
        self._now += timedelta(seconds=seconds)
        self.slept += 1
        self.at.get(self.slept, lambda: None)()
        if not self.silent:
            self.controllers.round()


def clear(server: KubeApiserver) -> None:
    """Take away whatever a teardown would look at, finalizers or not."""
    for path in ALL:
        listed = server.call("GET", path)
        for item in listed["items"] if listed else ():
            place = place_of(path, item)
            if path == SERVICES and item["metadata"]["name"] == "kubernetes":
                continue
            server.call("DELETE", place, {"gracePeriodSeconds": 0})
            if item["metadata"].get("finalizers"):
                server.call("PATCH", place, {"metadata": {"finalizers": None}}, kind=_MERGE)
