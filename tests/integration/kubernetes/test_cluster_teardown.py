"""A teardown against a real API, whose own audit log says in which order what was asked of it.

Only the controllers are played (`controllers.py`), and time: it runs when the teardown waits.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gitops.trees import build, real_kubectl
from tests.integration.kubernetes.controllers import (
    APPLICATIONS,
    BALANCER,
    CLAIMS,
    FLUX,
    KUSTOMIZATIONS,
    MACHINE,
    MACHINES,
    PODS,
    POOLS,
    PROTECTED,
    RELEASES,
    SERVICES,
    Controllers,
    RoundClock,
    clear,
)
from tests.system.kube_apiserver import Change, KubeApiserver
from zave.errors import StuckError
from zave.events import Event, Notice
from zave.flux.adapter import KubectlFlux, Way
from zave.flux.pause import BEFORE
from zave.gitops.teardown import Patience, Teardown
from zave.gitops.watch import Watch
from zave.ports.flux import Holder, Source
from zave.tools.kubectl_api import KubectlApi

pytestmark = pytest.mark.machine

LAYERS = ["infrastructure-controllers", "infrastructure-configs", "platform", "apps"]


@pytest.fixture(scope="module")
def flux_objects(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The AWS tree's own Kustomizations, HelmReleases and applications, as Flux has them."""
    built = build("aws-demo", tmp_path_factory.mktemp("tree") / "aws-demo")
    kinds = ("Kustomization", "HelmRelease", "Application")
    found: list[dict[str, Any]] = [
        dict(manifest.value) for identity, manifest in built.objects.items() if identity.kind in kinds
    ]
    root = next(dict(each) for each in found if each["kind"] == "Kustomization")
    root = {**root, "metadata": {"name": "flux-system", "namespace": "flux-system"}}
    root["spec"] = {key: value for key, value in root["spec"].items() if key != "dependsOn"}
    for each in found:
        each["metadata"] = dict(each["metadata"])
        if each["kind"] != "Application":
            each["metadata"]["finalizers"] = [FLUX]
        if each["kind"] == "Kustomization":
            # as the kustomize-controller marks what it applies
            each["metadata"]["labels"] = {
                "kustomize.toolkit.fluxcd.io/name": "flux-system",
                "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
            }
    root["metadata"]["finalizers"] = [FLUX]
    return [root, *found]


@dataclass
class World:
    """A cluster in use, and everything for a teardown of it."""

    server: KubeApiserver
    controllers: Controllers
    began: int = 0
    ended: bool = False
    events: list[Event] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    _log: list[Change] = field(default_factory=list)

    def flux(self) -> KubectlFlux:
        """The adapter under test."""
        way = Way(KubectlApi(real_kubectl(), self.server.kubeconfig), self.server.kubeconfig)
        return KubectlFlux(
            ways=lambda instance: way,
            installer=NoInstaller(),
            secrets=lambda instance, source: [],
            clock=RoundClock(self.controllers),
        )

    def teardown(
        self,
        *,
        force: bool = False,
        at: dict[int, Callable[[], None]] | None = None,
        clock: RoundClock | None = None,
    ) -> Teardown:
        """One run of it: nothing is remembered but what the cluster has."""
        return Teardown(
            flux=self.flux(),
            instance="aws-demo",
            outside=lambda: [],
            clock=clock or RoundClock(self.controllers, at or {}),
            watch=Watch(say=lambda text, fraction: self.heard.append(text), emit=self.events.append),
            force=force,
            patience=Patience(holders=60, layer=40, presence=5, silence=40),
        )

    def left(self) -> list[str]:
        """What a teardown should have taken away and did not."""
        paths = (KUSTOMIZATIONS, CLAIMS, PODS, POOLS, MACHINES)
        names = [item["metadata"]["name"] for path in paths for item in self.controllers.items(path)]
        services = self.controllers.items(SERVICES)
        return names + [s["metadata"]["name"] for s in services if s["spec"]["type"] == "LoadBalancer"]

    def log(self) -> list[Change]:
        """What was asked of the API since this world began and until it ended, by anybody."""
        if not self.ended:
            self._log = self.server.audit(client="")[self.began :]
        return self._log

    def changes(self) -> list[Change]:
        """What zave asked for, and was granted."""
        return [each for each in self.log() if each.code < 300 and each.client.startswith("kubectl")]


class NoInstaller:
    """For tests that install nothing."""

    def bootstrap(self, *, instance: str, source: Source, kubeconfig: Path, say: Any) -> None:
        """Nothing."""


@contextmanager
def in_use(server: KubeApiserver, flux_objects: list[dict[str, Any]]) -> Iterator[World]:
    """A demo in full use: Flux's objects, a load balancer, a claim that is mounted, Karpenter's machines."""
    for each in sorted({o["metadata"]["namespace"] for o in flux_objects} | {"istio-ingress", "monitoring"}):
        if server.call("GET", f"/api/v1/namespaces/{each}") is None:
            server.call("POST", "/api/v1/namespaces", {"metadata": {"name": each}})
    api = KubectlApi(real_kubectl(), server.kubeconfig)
    api.apply([*flux_objects, balancer(), inside()])
    claim_in_use(server)
    pool = named("karpenter.sh/v1", "NodePool", "default", finalizers=[MACHINE])
    pool = server.call("POST", POOLS, {**pool, "spec": {"template": {}, "limits": {}, "disruption": {}}})
    machine = named("karpenter.sh/v1", "NodeClaim", "default-x", finalizers=[MACHINE], owner=pool)
    server.call("POST", MACHINES, machine)
    tree = {LAYERS[1]: [(SERVICES, balancer())]}
    world = World(server, Controllers(server, tree=tree), began=len(server.audit(client="")))
    try:
        yield world
    finally:
        world.log()
        world.ended = True
        if not server.running:
            server.start()
        clear(server)


@pytest.fixture
def world(server: KubeApiserver, flux_objects: list[dict[str, Any]]) -> Iterator[World]:
    """For a test that does something of its own to it."""
    with in_use(server, flux_objects) as world:
        yield world


@pytest.fixture(scope="module")
def finished(server: KubeApiserver, flux_objects: list[dict[str, Any]]) -> World:
    """One whole teardown whose finalizers were released late; nothing of it is left."""
    with in_use(server, flux_objects) as world:
        world.teardown().run()
        assert world.left() == []
    return world


def test_everything_goes_in_order(finished: World, flux_objects: list[dict[str, Any]]) -> None:
    changes = finished.changes()
    suspended = [i for i, each in enumerate(changes) if each.verb == "patch"]
    deleted = [i for i, each in enumerate(changes) if each.verb == "delete"]
    assert len(suspended) == len(flux_objects)
    assert max(suspended) < min(deleted)
    kinds = list(dict.fromkeys(changes[i].resource for i in deleted))
    # with the claim goes what mounts it, at its root: the operator's object
    assert kinds[:3] == ["services", "persistentvolumeclaims", "prometheuses"]
    assert kinds[3] == "nodepools"
    assert kinds[-1] == "kustomizations"
    layers = [changes[i].name for i in deleted if changes[i].resource == "kustomizations"]
    assert layers == [*reversed(LAYERS), "flux-system"]
    assert finished.controllers.made_again == []


def test_each_part_begins_when_the_one_before_is_gone(finished: World) -> None:
    """From the audit log of all clients: the last release of one part is before the next part's deletion."""
    log = finished.log()
    gone = {change.name: i for i, change in enumerate(log) if _takes_finalizers_off(change)}
    asked = {
        (change.resource, change.name): i
        for i, change in enumerate(log)
        if change.verb == "delete" and change.code == 200 and change.client.startswith("kubectl")
    }
    assert gone["gateway"] < asked["nodepools", "default"]
    assert gone["data-prometheus-0"] < asked["nodepools", "default"]
    assert gone["default"] < asked["kustomizations", "apps"]
    for later, earlier in zip(LAYERS[1:], LAYERS, strict=False):
        assert gone[later] < asked["kustomizations", earlier]


def test_every_change_is_made_in_zaves_name(finished: World) -> None:
    """Flux takes back what was changed in the name of `kubectl`."""
    patches = [each for each in finished.changes() if each.verb == "patch"]
    assert {each.manager for each in patches} == {"zave"}


def test_what_is_deleted_comes_back_unless_flux_is_suspended(world: World) -> None:
    flux = world.flux()
    flux.delete(instance="aws-demo", what=Holder("Service", "gateway", "istio-ingress"))
    for _ in range(6):
        world.controllers.round()
    assert world.controllers.made_again == ["Service gateway"]
    flux.suspend(instance="aws-demo")
    flux.delete(instance="aws-demo", what=Holder("Service", "gateway", "istio-ingress"))
    for _ in range(6):
        world.controllers.round()
    assert world.controllers.made_again == ["Service gateway"]
    assert "gateway" not in world.left()


@pytest.mark.parametrize(
    ("finalizer", "name", "kind"),
    [
        (BALANCER, "gateway", "Service istio-ingress/gateway"),
        (PROTECTED, "data-prometheus-0", "PersistentVolumeClaim monitoring/data-prometheus-0"),
        (MACHINE, "default-x", "Node"),
        (FLUX, "apps", "Kustomization apps"),
    ],
)
def test_a_finalizer_that_is_never_released_is_named_and_force_goes_past_it(
    world: World, finalizer: str, name: str, kind: str
) -> None:
    world.controllers.never = frozenset({finalizer})
    with pytest.raises(StuckError) as caught:
        world.teardown().run()
    said = f"{caught.value.brief}\n{caught.value.details}"
    assert kind in caught.value.brief
    assert finalizer in said
    assert "--force" in (caught.value.resolution or "")
    assert name in world.left()
    if finalizer != FLUX:
        # what comes after it was not touched
        assert "kustomizations" not in {each.resource for each in world.changes() if each.verb == "delete"}
    world.teardown(force=True).run()
    assert world.left() == []
    assert any(isinstance(event, Notice) and finalizer in event.text for event in world.events)


def test_a_server_killed_in_the_middle_is_waited_for(world: World) -> None:
    clock = RoundClock(world.controllers)

    def die() -> None:
        world.server.kill()
        clock.silent = True

    def live() -> None:
        world.server.start()
        clock.silent = False

    clock.at = {2: die, 4: live}
    world.teardown(clock=clock).run()
    assert world.left() == []
    assert any("does not answer" in text for text in world.heard)
    assert world.controllers.made_again == []


def test_a_server_that_stays_away_is_left_to_the_sweep_and_the_same_command_goes_on(world: World) -> None:
    clock = RoundClock(world.controllers)

    def die() -> None:
        world.server.kill()
        clock.silent = True

    clock.at = {2: die}
    world.teardown(clock=clock).run()
    told = [event.text for event in world.events if isinstance(event, Notice)]
    assert any("stopped answering" in text and "sweep" in text for text in told)
    # and once more while it is away: silent from the start
    again = RoundClock(world.controllers, silent=True)
    world.teardown(clock=again).run()
    assert world.flux().presence(instance="aws-demo") == "silent"
    before = [each for each in world.changes() if each.verb == "delete"]
    world.server.start()
    world.teardown().run()
    assert world.left() == []
    after = [each for each in world.changes() if each.verb == "delete"][len(before) :]
    # it did not begin anew: of what was asked for before, only the claim was asked for again, as it may
    # have been cut off between a claim's deletion and that of what mounts it
    again_asked = {(e.resource, e.name) for e in before} & {(e.resource, e.name) for e in after}
    assert ("services", "gateway") in {(e.resource, e.name) for e in before}
    assert again_asked == {("persistentvolumeclaims", "data-prometheus-0")}


def test_a_teardown_that_was_given_up_can_be_taken_back(
    world: World, flux_objects: list[dict[str, Any]]
) -> None:
    """`up` after half a `down`: what zave put to rest wakes, what somebody else had put to rest does not."""
    server = world.server
    resting = next(each for each in flux_objects if each["kind"] == "HelmRelease")["metadata"]
    place = f"{RELEASES.rpartition('/')[0]}/namespaces/{resting['namespace']}/helmreleases/{resting['name']}"
    server.call("PATCH", place, {"spec": {"suspend": True}}, kind="application/merge-patch+json")
    before = fields(world)
    flux = world.flux()
    flux.suspend(instance="aws-demo")
    assert fields(world) != before
    flux.suspend(instance="aws-demo")
    source = Source("https://git.example.org/me/platform.git", "main", "clusters/aws-demo", "0" * 40, ())
    flux.bootstrap(instance="aws-demo", source=source, say=lambda text, fraction: None)
    assert fields(world) == before
    asked = [item["metadata"]["annotations"] for item in world.controllers.items(KUSTOMIZATIONS)]
    assert all("reconcile.fluxcd.io/requestedAt" in each and BEFORE not in each for each in asked)


def test_a_cluster_without_flux_gives_up_what_it_holds_all_the_same(
    server: KubeApiserver,
) -> None:
    server.call(
        "POST",
        "/api/v1/namespaces/default/services",
        {**balancer(), "metadata": {"name": "by-hand", "namespace": "default", "finalizers": [BALANCER]}},
    )
    world = World(server, Controllers(server))
    world.teardown().run()
    assert world.left() == []


def fields(world: World) -> list[tuple[str, Any]]:
    """What says whether somebody works, of each object."""
    items = [item for path in (KUSTOMIZATIONS, RELEASES) for item in world.controllers.items(path)]
    rest = [(item["metadata"]["name"], item["spec"].get("suspend") or False) for item in items]
    applications = world.controllers.items(APPLICATIONS)
    return rest + [(a["metadata"]["name"], a["spec"]["syncPolicy"].get("automated")) for a in applications]


def balancer() -> dict[str, Any]:
    """A Service that has a load balancer."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "gateway", "namespace": "istio-ingress", "finalizers": [BALANCER]},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 443}], "selector": {"app": "gateway"}},
    }


def inside() -> dict[str, Any]:
    """A Service that holds nothing outside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "quiet", "namespace": "monitoring"},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "quiet"}},
    }


def claim_in_use(server: KubeApiserver) -> None:
    """A claim that a pod mounts, which a StatefulSet keeps, which an operator's object keeps."""
    spaced = "/apis/{}/namespaces/monitoring/{}"
    claim = named("v1", "PersistentVolumeClaim", "data-prometheus-0", namespace="monitoring")
    claim["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    server.call("POST", "/api/v1/namespaces/monitoring/persistentvolumeclaims", claim)
    top = named("monitoring.coreos.com/v1", "Prometheus", "prometheus", namespace="monitoring")
    top = server.call("POST", spaced.format("monitoring.coreos.com/v1", "prometheuses"), top)
    labels = {"matchLabels": {"app": "prometheus"}}
    pods = {"metadata": {"labels": labels["matchLabels"]}, "spec": pod_spec()}
    kept = named("apps/v1", "StatefulSet", "prometheus", namespace="monitoring", owner=top)
    kept["spec"] = {"serviceName": "prometheus", "selector": labels, "template": pods}
    kept = server.call("POST", spaced.format("apps/v1", "statefulsets"), kept)
    pod = named("v1", "Pod", "prometheus-0", namespace="monitoring", owner=kept)
    pod["spec"] = {**pod_spec(), "nodeName": "machine"}
    server.call("POST", "/api/v1/namespaces/monitoring/pods", pod)


def pod_spec() -> dict[str, Any]:
    """A pod that mounts the claim."""
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-prometheus-0"}}
    return {"containers": [{"name": "a", "image": "example.org/a:1"}], "volumes": [volume]}


def named(
    version: str,
    kind: str,
    name: str,
    *,
    namespace: str = "",
    finalizers: Sequence[str] = (),
    owner: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """An object with a name and an owner."""
    metadata: dict[str, Any] = {"name": name, "finalizers": list(finalizers)}
    if namespace:
        metadata["namespace"] = namespace
    if owner is not None:
        reference = {key: owner[key] for key in ("apiVersion", "kind")}
        reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
        metadata["ownerReferences"] = [{**reference, "controller": True}]
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {}}


def _takes_finalizers_off(change: Change) -> bool:
    body = change.body if isinstance(change.body, dict) else {}
    return change.verb == "patch" and body.get("metadata", {}).get("finalizers") == []
