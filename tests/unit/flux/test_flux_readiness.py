"""What Flux's conditions mean, which objects hold something outside, and in which order layers stand."""

from typing import Any

import pytest

from tests.unit.flux.memory_api import thing
from zave.flux.kinds import CLAIM, INGRESS, NODE_CLAIM, SERVICE, VOLUME, Kind
from zave.flux.readiness import holder, holds, in_order, reconciliation

FLUX = "kustomize.toolkit.fluxcd.io"


def layer(name: str, *, ready: str = "True", seen: int = 1, **more: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": f"{name} says so"}, *more.pop("also", ())]
    status = {"observedGeneration": seen, "conditions": conditions, **more.pop("status", {})}
    return thing("Kustomization", name, group=FLUX, namespace="flux-system", status=status, **more)


def test_what_is_ready_is_so_at_its_commit() -> None:
    found = reconciliation(layer("apps", status={"lastAppliedRevision": "main@sha1:2f1e"}))
    assert (found.kind, found.name, found.namespace) == ("Kustomization", "apps", "flux-system")
    assert (found.ready, found.stalled, found.suspended) == (True, False, False)
    assert (found.message, found.revision) == ("apps says so", "2f1e")


def test_a_charts_version_is_no_commit() -> None:
    assert reconciliation(layer("apps", status={"lastAppliedRevision": "1.2.3"})).revision == ""


def test_what_a_controller_says_of_an_older_generation_does_not_count() -> None:
    found = reconciliation(layer("apps", seen=1, generation=2, also=[{"type": "Stalled", "status": "True"}]))
    assert not found.ready
    assert not found.stalled
    assert found.message == "its controller has not looked at it yet"


def test_an_object_that_no_controller_has_seen_is_not_ready() -> None:
    bare = thing("HelmRelease", "new", group="helm.toolkit.fluxcd.io", namespace="a")
    assert not reconciliation(bare).ready


def test_stalled_and_suspended_are_told() -> None:
    found = reconciliation(
        layer("apps", ready="False", also=[{"type": "Stalled", "status": "True"}], spec={"suspend": True})
    )
    assert (found.ready, found.stalled, found.suspended) == (False, True, True)


def test_a_message_is_harmless_and_bounded() -> None:
    hostile = layer("apps", ready="False")
    hostile["status"]["conditions"][0]["message"] = "\x1b]0;owned\x07bad" + "x" * 10_000
    found = reconciliation(hostile)
    assert found.message.startswith("bad")
    assert len(found.message) <= 2000


@pytest.mark.parametrize(
    ("kind", "item", "expected"),
    [
        (SERVICE, {"spec": {"type": "LoadBalancer"}}, True),
        (SERVICE, {"spec": {"type": "ClusterIP"}}, False),
        (SERVICE, {"spec": {"type": "NodePort"}, "finalizers": ["service.k8s.aws/resources"]}, True),
        (SERVICE, {"spec": {"type": "ClusterIP"}, "finalizers": ["example.org/other"]}, False),
        (INGRESS, {"finalizers": ["ingress.k8s.aws/resources"]}, True),
        (INGRESS, {}, False),
        (CLAIM, {}, True),
        (NODE_CLAIM, {}, True),
        (VOLUME, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}, "status": {"phase": "Bound"}}, False),
        (
            VOLUME,
            {"spec": {"persistentVolumeReclaimPolicy": "Delete"}, "status": {"phase": "Released"}},
            True,
        ),
        (VOLUME, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}, "status": {"phase": "Failed"}}, True),
        (
            VOLUME,
            {"spec": {"persistentVolumeReclaimPolicy": "Retain"}, "status": {"phase": "Released"}},
            False,
        ),
    ],
)
def test_what_holds_something_outside(kind: Kind, item: dict[str, Any], expected: bool) -> None:
    assert holds(kind, thing(kind.name, "a", **item)) is expected


def test_a_released_volume_is_on_its_way_although_nobody_asked() -> None:
    assert holder(thing("PersistentVolume", "pv")).deleting
    assert not holder(thing("PersistentVolumeClaim", "c", namespace="a")).deleting


def test_a_holder_tells_what_it_waits_for() -> None:
    item = thing(
        "Service", "gateway", namespace="in", finalizers=["a/b"], deletionTimestamp="2026-11-23T12:00:00Z"
    )
    found = holder(item)
    assert (found.kind, found.name, found.namespace) == ("Service", "gateway", "in")
    assert found.deleting
    assert found.finalizers == ("a/b",)


def test_layers_come_after_what_made_them_and_what_they_depend_on() -> None:
    made = {f"{FLUX}/name": "flux-system", f"{FLUX}/namespace": "flux-system"}
    items = [
        layer("apps", labels=made, spec={"dependsOn": [{"name": "platform"}]}),
        layer("base", labels=made),
        layer("flux-system", labels=made),
        layer("platform", labels=made, spec={"dependsOn": [{"name": "base"}, {"name": "gone"}]}),
    ]
    names = [each["metadata"]["name"] for each in in_order(items)]
    assert names == ["flux-system", "base", "platform", "apps"]


def test_a_circle_is_no_reason_to_fail() -> None:
    items = [
        layer("a", spec={"dependsOn": [{"name": "b"}]}),
        layer("b", spec={"dependsOn": [{"name": "a"}]}),
    ]
    assert len(in_order(items)) == 2
