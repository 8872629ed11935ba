"""What zave reads of a real API: readiness, reasons, silence."""

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.kubernetes.controllers import clear
from tests.system.kube_apiserver import KubeApiserver
from zave.clock import SystemClock
from zave.errors import ToolFailedError, UnreachableError
from zave.flux.adapter import KubectlFlux, Way
from zave.ports.flux import Say, Source
from zave.tools.kubectl_api import KubectlApi, Limits

pytestmark = pytest.mark.machine

_MERGE = "application/merge-patch+json"
_RELEASES = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases"


class NoInstaller:
    """For tests that install nothing."""

    def bootstrap(self, *, instance: str, source: Source, kubeconfig: Any, say: Say) -> None:
        """Nothing."""


def flux_of(api: KubectlApi) -> KubectlFlux:
    return KubectlFlux(
        ways=lambda instance: Way(api, api.kubeconfig),
        installer=NoInstaller(),
        secrets=lambda instance, source: [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "sops-age", "namespace": "flux-system"},
                "stringData": {"age.agekey": "canary"},
            }
        ],
        clock=SystemClock(),
    )


@pytest.fixture
def ailing(server: KubeApiserver, api: KubectlApi) -> KubectlFlux:
    """A HelmRelease that failed because of a pod that crashes, and the layer that waits for it."""
    clear(server)
    if server.call("GET", "/api/v1/namespaces/flux-system") is None:
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": "flux-system"}})
    ref = {"kind": "GitRepository", "name": "zave"}
    layer = {"path": "./a", "sourceRef": ref, "prune": True, "wait": True, "interval": "10m"}
    layer |= {"retryInterval": "1m", "timeout": "20m", "postBuild": {}}
    put(server, "kustomize.toolkit.fluxcd.io/v1", "Kustomization", "platform", layer)
    release = {"interval": "10m", "timeout": "10m", "install": {}, "upgrade": {}}
    put(server, "helm.toolkit.fluxcd.io/v2", "HelmRelease", "proxy", release)
    not_ready = {"type": "Ready", "status": "False", "reason": "InstallFailed", "message": "timed out"}
    status = {"observedGeneration": 1, "conditions": [not_ready]}
    entries = [{"id": "flux-system_proxy_helm.toolkit.fluxcd.io_HelmRelease", "v": "v2"}]
    say(server, f"{_RELEASES}/proxy", status)
    layers = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations"
    say(server, f"{layers}/platform", {**status, "inventory": {"entries": entries}})
    pod = {"containers": [{"name": "a", "image": "example.org/a:1"}]}
    put(server, "v1", "Pod", "proxy-x", pod, labels={"app.kubernetes.io/instance": "proxy"})
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    container = {"name": "a", "image": "a", "imageID": "", "ready": False, "restartCount": 4}
    containers = [{**container, "state": waiting, "lastState": ended}]
    place = "/api/v1/namespaces/flux-system/pods/proxy-x"
    say(server, place, {"phase": "Running", "containerStatuses": containers})
    event(server, "HelmRelease", "proxy", "InstallFailed", "context deadline exceeded")
    event(server, "HelmRelease", "other", "InstallFailed", "of another one")
    return flux_of(api)


def test_why_something_is_not_ready_is_read_from_events_and_pods(ailing: KubectlFlux) -> None:
    found = {each.name: each for each in ailing.reconciliations(instance="on")}
    assert (found["platform"].ready, found["proxy"].message) == (False, "timed out")
    said = ailing.reason(instance="on", of=found["platform"])
    assert "HelmRelease flux-system/proxy: timed out" in said
    assert "InstallFailed: context deadline exceeded" in said
    assert "CrashLoopBackOff: back-off 5m0s" in said
    assert "exit code 137 (OOMKilled), restarted 4 times" in said
    assert "of another one" not in said


def test_readiness_is_of_the_newest_generation(server: KubeApiserver, ailing: KubectlFlux) -> None:
    ready = {"type": "Ready", "status": "True", "message": "done"}
    say(server, f"{_RELEASES}/proxy", {"observedGeneration": 1, "conditions": [ready]})
    assert [e.ready for e in ailing.reconciliations(instance="on") if e.name == "proxy"] == [True]
    server.call("PATCH", f"{_RELEASES}/proxy", {"spec": {"interval": "11m"}}, kind=_MERGE)
    assert [e.ready for e in ailing.reconciliations(instance="on") if e.name == "proxy"] == [False]


def test_a_secret_is_placed_without_a_copy_in_annotations(server: KubeApiserver, ailing: KubectlFlux) -> None:
    """`kubectl apply` on the client's side keeps what it applied in an annotation."""
    source = Source("https://git.example.org/me/platform.git", "main", "clusters/on", "0" * 40, ())
    for _ in range(2):
        ailing.bootstrap(instance="on", source=source, say=lambda text, fraction: None)
    secret = server.call("GET", "/api/v1/namespaces/flux-system/secrets/sops-age")
    assert set(secret["data"]) == {"age.agekey"}
    assert "annotations" not in secret["metadata"]


def test_a_stranger_is_refused_and_not_taken_for_gone(server: KubeApiserver, api: KubectlApi) -> None:
    assert "logged in" in refusal(server, api, "administrator-of-a-test", "somebody-else")


def test_another_servers_certificate_is_not_silence(server: KubeApiserver, api: KubectlApi) -> None:
    # the system's own authorities do not know it
    own = f', "certificate-authority": "{server.folder}/certificates/apiserver.crt"'
    assert "x509" in refusal(server, api, own, "")


def test_an_api_without_its_store_does_not_answer(server: KubeApiserver, api: KubectlApi) -> None:
    flux, api = flux_of(api), replace(api, limits=Limits(request=3))
    with server.store_stopped():
        with pytest.raises(UnreachableError):
            flux_of(api).suspend(instance="on")
        with pytest.raises(UnreachableError):
            api.delete("/api/v1/namespaces/flux-system/configmaps/any")
    assert flux.presence(instance="on") == "flux"


def test_a_server_that_is_off_is_silent(server: KubeApiserver, api: KubectlApi) -> None:
    server.kill()
    try:
        assert flux_of(api).presence(instance="on") == "silent"
    finally:
        server.start()


def refusal(server: KubeApiserver, api: KubectlApi, old: str, new: str) -> str:
    """What is told of a server that is asked with `new` for `old` in the kubeconfig, and refuses."""
    document = server.kubeconfig.read_text()
    assert old in document
    server.kubeconfig.write_text(document.replace(old, new))
    try:
        with pytest.raises(ToolFailedError) as caught:
            flux_of(api).presence(instance="on")
    finally:
        server.kubeconfig.write_text(document)
    return caught.value.details or ""


def put(server: KubeApiserver, version: str, kind: str, name: str, spec: Any, **metadata: Any) -> None:
    """Make an object in flux-system."""
    head = f"/apis/{version}" if "/" in version else f"/api/{version}"
    item = {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
    server.call("POST", f"{head}/namespaces/flux-system/{kind.lower()}s", item)


def say(server: KubeApiserver, place: str, status: Any) -> None:
    """What its controller says of an object."""
    server.call("PATCH", f"{place}/status", {"status": status}, kind=_MERGE)


def event(server: KubeApiserver, kind: str, name: str, reason: str, message: str) -> None:
    """A warning about an object."""
    body = {
        "metadata": {"generateName": "e-"},
        "involvedObject": {"kind": kind, "name": name, "namespace": "flux-system"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-11-23T12:00:00Z",
    }
    server.call("POST", "/api/v1/namespaces/flux-system/events", body)
