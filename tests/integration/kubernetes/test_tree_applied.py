"""The shipped trees against a real API: everything in them is taken, twice, and means what it says."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.gitops.trees import build, real_kubectl
from tests.integration.kubernetes.definitions import install_definitions, plural_of
from tests.system.kube_apiserver import KubeApiserver, kube_apiserver
from zave.errors import ToolFailedError
from zave.flux.kinds import Groups, Kind, groups_of
from zave.gitops.kustomize import Built
from zave.tools.kubectl_api import KubectlApi

pytestmark = pytest.mark.machine


@pytest.fixture(params=["homelab", "aws-demo"], scope="module")
def applied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Built, KubeApiserver, KubectlApi]]:
    """An environment's tree, built as Flux builds it and applied to a server of its own."""
    built = build(request.param, tmp_path_factory.mktemp("tree") / request.param)
    with kube_apiserver(tmp_path_factory.mktemp("kube") / "server") as server:
        install_definitions(server)
        api = KubectlApi(real_kubectl(), server.kubeconfig)
        apply_all(api, built)
        yield built, server, api


def apply_all(api: KubectlApi, built: Built) -> None:
    """Namespaces first, as Flux does it; then all that is in the tree."""
    values = [manifest.value for manifest in built.objects.values()]
    first = [each for each in values if each["kind"] == "Namespace"]
    # the bootstrap makes this one
    flux: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}}
    api.apply([flux, *first])
    api.apply([each for each in values if each["kind"] != "Namespace"])


def test_every_object_of_the_tree_is_there(applied: tuple[Built, KubeApiserver, KubectlApi]) -> None:
    built, server, api = applied
    groups = groups_of(api)
    missing = [
        str(identity)
        for identity, manifest in built.objects.items()
        if server.call("GET", path_of(groups, manifest.value)) is None
    ]
    assert missing == []
    kinds = {identity.kind for identity in built.objects}
    assert {"Namespace", "NetworkPolicy", "HelmRelease", "Kustomization"} <= kinds


def test_applying_it_again_changes_nothing(applied: tuple[Built, KubeApiserver, KubectlApi]) -> None:
    built, server, api = applied
    before = contents(server, api, built)
    apply_all(api, built)
    assert contents(server, api, built) == before


def test_pods_that_ask_for_too_much_are_refused(applied: tuple[Built, KubeApiserver, KubectlApi]) -> None:
    """The namespaces' labels are in force: this is Kubernetes' own Pod Security admission."""
    built, _, api = applied
    strict = [
        manifest.value["metadata"]["name"]
        for identity, manifest in built.objects.items()
        if identity.kind == "Namespace"
        and manifest.value["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
        in ("baseline", "restricted")
    ]
    assert strict
    for namespace in strict:
        with pytest.raises(ToolFailedError, match="apply failed") as caught:
            api.apply([privileged(namespace)])
        assert "violates PodSecurity" in (caught.value.details or "")


def test_a_definition_that_lacks_what_it_needs_is_refused(
    applied: tuple[Built, KubeApiserver, KubectlApi],
) -> None:
    _, _, api = applied
    bare = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "bare", "namespace": "flux-system"},
        "spec": {"path": "./there"},
    }
    with pytest.raises(ToolFailedError) as caught:
        api.apply([bare])
    assert "spec.sourceRef" in (caught.value.details or "")


def test_each_side_has_a_policy_that_denies_by_default(
    applied: tuple[Built, KubeApiserver, KubectlApi],
) -> None:
    built, server, _ = applied
    namespaces = [identity.name for identity in built.objects if identity.kind == "Namespace"]
    for namespace in namespaces:
        listed = server.call("GET", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
        closed = [
            item
            for item in listed["items"]
            if not item["spec"].get("podSelector") and "Ingress" in item["spec"]["policyTypes"]
        ]
        assert closed, f"{namespace} is open"


def path_of(groups: Groups, value: Any) -> str:
    """Where the API has what `value` describes."""
    kind = value["kind"]
    group = value["apiVersion"].rpartition("/")[0]
    metadata = value["metadata"]
    return groups.path(
        Kind(kind, plural_of(kind), group), namespace=metadata.get("namespace", ""), name=metadata["name"]
    )


def contents(server: KubeApiserver, api: KubectlApi, built: Built) -> dict[str, str]:
    """Each object as the API has it, but for its version: a claim gets a new one without a change."""
    groups = groups_of(api)
    found = {}
    for identity, manifest in built.objects.items():
        item = server.call("GET", path_of(groups, manifest.value))
        for name in ("resourceVersion", "managedFields"):
            del item["metadata"][name]
        found[str(identity)] = json.dumps(item, sort_keys=True)
    return found


def privileged(namespace: str) -> dict[str, Any]:
    """A pod that wants the machine."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "greedy", "namespace": namespace},
        "spec": {
            "hostNetwork": True,
            "containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}],
        },
    }
