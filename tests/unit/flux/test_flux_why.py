"""The reason behind what is not ready: the newest warnings, and the pods' own last words."""

from typing import Any

import pytest

from tests.unit.flux.memory_api import MemoryApi, thing
from zave.errors import StepFailedError, ToolFailedError, UnreachableError
from zave.flux.kinds import groups_of
from zave.flux.why import reason_of
from zave.ports.flux import Reconciliation

FLUX, HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
RELEASE = Reconciliation("HelmRelease", "gateway", False, "timed out", namespace="in")
LAYER = Reconciliation("Kustomization", "platform", False, "health check failed", namespace="flux-system")


def events_of(kind: str, namespace: str, name: str) -> str:
    selector = f"involvedObject.kind%3D{kind}%2CinvolvedObject.name%3D{name}%2Ctype%3DWarning"
    return f"/api/v1/namespaces/{namespace}/events?fieldSelector={selector}"


def event(reason: str, message: str, at: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at}


def release(name: str = "gateway", *, reason: str = "InstallFailed", **more: Any) -> dict[str, Any]:
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": f"{name} failed"}
    status = {"observedGeneration": 1, "conditions": [ready]}
    return thing("HelmRelease", name, group=HELM, namespace="in", status=status, **more)


def pod(
    name: str, *containers: dict[str, Any], ready: bool = False, instance: str = "gateway"
) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": "Running", "conditions": conditions, "containerStatuses": list(containers)}
    return thing("Pod", name, namespace="in", labels={"app.kubernetes.io/instance": instance}, status=status)


def crashing(name: str = "proxy", *, restarts: int = 3) -> dict[str, Any]:
    return {
        "name": name,
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}},
    }


def reason(api: MemoryApi, of: Reconciliation = RELEASE) -> str:
    return reason_of(api, groups_of(api), of)


def test_a_crashing_container_is_quoted_with_its_exit_code() -> None:
    api = MemoryApi([release(), pod("gateway-x", crashing())], said={"proxy": "starting\nno certificate\n"})
    said = reason(api)
    assert "pod in/gateway-x: Running" in said
    assert "container proxy: CrashLoopBackOff: back-off 40s" in said
    assert "exit code 2 (Error), restarted 3 times" in said
    assert "no certificate" in said
    assert "logs proxy --previous" in api.asked


def test_a_container_that_never_came_up_again_is_asked_itself() -> None:
    ended = {"name": "job", "restartCount": 0, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    api = MemoryApi([release(), pod("gateway-x", ended)])
    reason(api)
    assert api.asked == ["logs job"]


def test_an_image_that_cannot_be_pulled_is_told_in_the_kubelets_words() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "gateway:9 not found"}}
    api = MemoryApi([release(), pod("gateway-x", {"name": "proxy", "state": waiting})])
    assert "container proxy: ImagePullBackOff: gateway:9 not found" in reason(api)


def test_a_pod_without_a_place_says_what_is_missing() -> None:
    unplaced = pod("gateway-x")
    unplaced["status"]["conditions"].append(
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "3 Insufficient cpu",
        }
    )
    assert "Unschedulable: 3 Insufficient cpu" in reason(MemoryApi([release(), unplaced]))


def test_pods_of_the_release_come_before_those_of_others() -> None:
    api = MemoryApi([release(), pod("other-x", crashing(), instance="other"), pod("gateway-x", crashing())])
    assert "other-x" not in reason(api)


def test_pods_that_are_well_are_no_reason() -> None:
    assert reason(MemoryApi([release(), pod("gateway-x", ready=True)])) == ""


def test_the_newest_warnings_are_told_once_each_oldest_first() -> None:
    items = [
        event("Failed", "third", "2026-11-23T12:03:00Z"),
        event("Failed", "first", "2026-11-23T12:01:00Z"),
        event("Failed", "fourth", "2026-11-23T12:04:00Z"),
        event("Failed", "fourth", "2026-11-23T12:02:30Z"),
        event("Failed", "second", "2026-11-23T12:02:00Z"),
    ]
    api = MemoryApi([release()], fixed={events_of("HelmRelease", "in", "gateway"): {"items": items}})
    assert [line.split()[-1] for line in reason(api).splitlines()] == ["second", "third", "fourth"]


def test_a_layer_is_followed_to_the_release_that_it_waits_for() -> None:
    entries = [{"id": f"in_{name}_{HELM}_HelmRelease"} for name in ("after", "gateway")]
    layer = thing(
        "Kustomization",
        "platform",
        group=FLUX,
        namespace="flux-system",
        status={"inventory": {"entries": entries}},
    )
    api = MemoryApi(
        [
            layer,
            release("after", reason="DependencyNotReady"),
            release(),
            release("stranger"),
            pod("gateway-x", crashing()),
        ]
    )
    said = reason(api, LAYER)
    assert said.index("HelmRelease in/gateway: gateway failed") < said.index("HelmRelease in/after")
    assert "pod in/gateway-x" in said
    assert "stranger" not in said


def test_what_others_wrote_is_harmless_and_bounded() -> None:
    hostile = "\x1b]0;owned\x07" + "x" * 5000
    api = MemoryApi([release(), pod("gateway-x", crashing())], said={"proxy": "\n".join([hostile] * 50)})
    said = reason(api)
    assert "\x1b" not in said
    assert "owned" not in said
    assert len(said) <= 3000
    assert max(map(len, said.splitlines())) < 320


@pytest.mark.parametrize("error", [ToolFailedError("kubectl get failed"), UnreachableError("no answer")])
def test_what_cannot_be_read_does_not_take_the_rest_along(error: StepFailedError) -> None:
    warning = {"items": [event("Failed", "no chart", "2026-11-23T12:00:00Z")]}
    fixed = {events_of("HelmRelease", "in", "gateway"): warning, "/api/v1/namespaces/in/pods": error}
    said = reason(MemoryApi([release()], fixed=fixed))
    assert said.splitlines() == ["  Failed: no chart", f"more is not to be had: {error.brief}"]


def test_what_is_gone_is_said_to_be() -> None:
    api = MemoryApi(fixed={f"/apis/{HELM}/v2/namespaces/in/helmreleases/gateway": None})
    assert reason(api) == "HelmRelease in/gateway is gone"


def test_without_flux_there_is_no_reason() -> None:
    assert reason(MemoryApi(groups=frozenset({"apps"}))) == ""
