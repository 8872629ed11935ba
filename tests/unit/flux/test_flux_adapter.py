"""The adapter: how much of a cluster there is, what a bootstrap does first, how one object goes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.flux.memory_api import MemoryApi, thing
from zave.clock import SystemClock
from zave.errors import PreconditionError, StepFailedError, ToolFailedError, UnreachableError
from zave.flux.adapter import KubectlFlux, Way
from zave.flux.kinds import Document
from zave.ports.flux import Holder, Say, Source

FLUX, HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
SOURCE = Source("https://git.example.org/me/platform.git", "main", "clusters/on", "2f1e", ("apps",))


class Installer:
    """Notes what it was asked, in the API's own list."""

    def __init__(self, api: MemoryApi, *, failing: bool = False) -> None:
        self._api = api
        self._failing = failing

    def bootstrap(self, *, instance: str, source: Source, kubeconfig: Path, say: Say) -> None:
        """Installs nothing."""
        self._api.asked.append(f"install {instance} {source.url}")
        if self._failing:
            raise ToolFailedError("flux bootstrap failed")


def key(instance: str, source: Source) -> Sequence[Document]:
    return [thing("Secret", "sops-age", namespace="flux-system")]


def adapter(api: MemoryApi, folder: Path, *, made: bool = True, failing: bool = False) -> KubectlFlux:
    kubeconfig = folder / "kubeconfig"
    if made:
        kubeconfig.touch()
    return KubectlFlux(
        ways=lambda instance: Way(api, kubeconfig),
        installer=Installer(api, failing=failing),
        secrets=key,
        clock=SystemClock(),
    )


def silence(text: str, fraction: float | None) -> None:
    pass


@pytest.mark.parametrize(
    ("api", "made", "expected"),
    [
        (MemoryApi(), True, "flux"),
        (MemoryApi(groups=frozenset({"apps"})), True, "bare"),
        (MemoryApi(), False, "absent"),
        (MemoryApi(groups=frozenset(), fixed={}), True, "bare"),
    ],
)
def test_how_much_of_a_cluster_there_is(api: MemoryApi, made: bool, expected: str, tmp_path: Path) -> None:
    assert adapter(api, tmp_path, made=made).presence(instance="on") == expected


def test_a_silent_api_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    class Failing(MemoryApi):
        error: Exception = UnreachableError("no answer")

        def get(self, path: str) -> Document | None:
            raise self.error

    api = Failing()
    assert adapter(api, tmp_path).presence(instance="on") == "silent"
    api.error = ToolFailedError("kubectl get failed (Forbidden)")
    with pytest.raises(ToolFailedError, match="Forbidden"):
        adapter(api, tmp_path).presence(instance="on")


def test_a_bootstrap_places_secrets_before_flux_and_wakes_everything_after(tmp_path: Path) -> None:
    api = MemoryApi(
        [
            thing("GitRepository", "zave", group="source.toolkit.fluxcd.io", namespace="flux-system"),
            thing("Kustomization", "apps", group=FLUX, namespace="flux-system"),
            thing("HelmRelease", "ailing", group=HELM, namespace="in"),
            thing(
                "HelmRelease",
                "well",
                group=HELM,
                namespace="in",
                status={"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
            ),
        ]
    )
    flux = adapter(api, tmp_path)
    flux.suspend(instance="on")
    api.asked.clear()
    flux.bootstrap(instance="on", source=SOURCE, say=silence)
    assert api.asked[:3] == [
        "apply Namespace flux-system",
        "apply Secret sops-age",
        f"install on {SOURCE.url}",
    ]
    assert api.asked[3:] == [
        *("patch HelmRelease ailing", "patch HelmRelease well", "patch Kustomization apps"),
        *("patch GitRepository zave", "patch Kustomization apps", "patch HelmRelease ailing"),
    ]
    notes = {item["metadata"]["name"]: item["metadata"].get("annotations", {}) for item in api.items}
    assert "reconcile.fluxcd.io/resetAt" in notes["ailing"]
    assert "reconcile.fluxcd.io/requestedAt" in notes["apps"]
    assert notes["well"] == {}
    assert not any(each.suspended for each in flux.reconciliations(instance="on"))


def test_what_an_installer_could_not_do_is_not_woken(tmp_path: Path) -> None:
    api = MemoryApi([thing("Kustomization", "apps", group=FLUX, namespace="flux-system")])
    flux = adapter(api, tmp_path, failing=True)
    flux.suspend(instance="on")
    with pytest.raises(ToolFailedError):
        flux.bootstrap(instance="on", source=SOURCE, say=silence)
    assert flux.reconciliations(instance="on")[0].suspended


@pytest.mark.parametrize("url", ["/home/me/repository.git", "file:///srv/git", "git@host:me/it", "local"])
def test_a_repository_that_the_cluster_cannot_reach_is_refused_before_anything(
    url: str, tmp_path: Path
) -> None:
    api = MemoryApi()
    source = Source(url, "main", "clusters/on", "2f1e", ())
    with pytest.raises(PreconditionError, match="cannot follow"):
        adapter(api, tmp_path).bootstrap(instance="on", source=source, say=silence)
    assert api.asked == []


def test_a_bootstrap_without_a_cluster_says_so(tmp_path: Path) -> None:
    with pytest.raises(StepFailedError, match="no cluster"):
        adapter(MemoryApi(), tmp_path, made=False).bootstrap(instance="on", source=SOURCE, say=silence)


def test_what_is_reconciled_is_layers_then_releases(tmp_path: Path) -> None:
    api = MemoryApi(
        [
            thing("HelmRelease", "a", group=HELM, namespace="in"),
            thing("Kustomization", "z", group=FLUX, namespace="flux-system"),
            thing("Kustomization", "b", group=FLUX, namespace="flux-system"),
        ]
    )
    found = adapter(api, tmp_path).reconciliations(instance="on")
    assert [(each.kind, each.name) for each in found] == [
        ("Kustomization", "b"),
        ("Kustomization", "z"),
        ("HelmRelease", "a"),
    ]
    assert adapter(MemoryApi(groups=frozenset()), tmp_path).reconciliations(instance="on") == []


def test_holders_come_with_machines_last(tmp_path: Path) -> None:
    api = MemoryApi(
        [
            thing("NodePool", "default", group="karpenter.sh"),
            thing("PersistentVolumeClaim", "data", namespace="db"),
            thing("Service", "gateway", namespace="in", spec={"type": "LoadBalancer"}),
            thing("Service", "quiet", namespace="in", spec={"type": "ClusterIP"}),
        ]
    )
    found = adapter(api, tmp_path).holders(instance="on")
    assert [(each.kind, each.name) for each in found] == [
        ("Service", "gateway"),
        ("PersistentVolumeClaim", "data"),
        ("NodePool", "default"),
    ]


def test_a_claim_is_deleted_before_those_that_mount_it(tmp_path: Path) -> None:
    volume = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    api = MemoryApi(
        [
            thing("PersistentVolumeClaim", "data", namespace="db"),
            thing("Pod", "p", namespace="db", spec=volume),
        ]
    )
    adapter(api, tmp_path).delete(instance="on", what=Holder("PersistentVolumeClaim", "data", "db"))
    assert api.asked == [
        "delete /api/v1/namespaces/db/persistentvolumeclaims/data",
        "remove Pod.v1. db/p",
    ]


@pytest.mark.parametrize(
    "what",
    [Holder("Service", "gone", "in"), Holder("NodePool", "gone"), Holder("Kustomization", "gone", "a")],
)
def test_what_is_gone_is_no_failure(what: Holder, tmp_path: Path) -> None:
    for api in (MemoryApi(), MemoryApi(groups=frozenset())):
        flux = adapter(api, tmp_path)
        flux.delete(instance="on", what=what)
        api.fixed = dict.fromkeys(_paths(what))
        flux.release(instance="on", what=what)
        assert not [each for each in api.asked if each.startswith("patch")]


def test_released_means_without_finalizers_and_asked_to_go(tmp_path: Path) -> None:
    api = MemoryApi([thing("Service", "gateway", namespace="in", finalizers=["a/b"])])
    adapter(api, tmp_path).release(instance="on", what=Holder("Service", "gateway", "in"))
    assert api.asked == ["patch Service gateway", "delete /api/v1/namespaces/in/services/gateway"]


def _paths(what: Holder) -> list[str]:
    spaced: dict[str, Any] = {
        "Service": "/api/v1/namespaces/in/services/gone",
        "NodePool": "/apis/karpenter.sh/v1/nodepools/gone",
        "Kustomization": f"/apis/{FLUX}/v1/namespaces/a/kustomizations/gone",
    }
    return [spaced[what.kind]]
