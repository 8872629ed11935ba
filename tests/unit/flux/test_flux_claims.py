"""Which workloads keep a claim: those whose pods mount it, at the root of the chain that makes them."""

from typing import Any

import pytest

from tests.unit.flux.memory_api import MemoryApi, thing
from zave.flux.claims import free


def pod(
    name: str, *, owner: dict[str, Any] | None = None, phase: str = "Running", **volume: Any
) -> dict[str, Any]:
    mounted = volume or {"persistentVolumeClaim": {"claimName": "data"}}
    more: dict[str, Any] = {"ownerReferences": [owner]} if owner else {}
    spec = {"volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "v", **mounted}]}
    return thing("Pod", name, namespace="db", spec=spec, status={"phase": phase}, **more)


def owner(kind: str, name: str, api_version: str = "apps/v1", *, controller: bool = True) -> dict[str, Any]:
    return {"kind": kind, "name": name, "apiVersion": api_version, "controller": controller, "uid": "u"}


def test_the_operators_object_goes_with_all_below_it() -> None:
    api = MemoryApi(
        [
            thing("Prometheus", "p", group="monitoring.coreos.com", namespace="db"),
            thing(
                "StatefulSet",
                "s",
                group="apps",
                namespace="db",
                ownerReferences=[owner("Prometheus", "p", "monitoring.coreos.com/v1")],
            ),
            pod("s-0", owner=owner("StatefulSet", "s")),
            pod("s-1", owner=owner("StatefulSet", "s")),
        ]
    )
    free(api, namespace="db", claim="data")
    assert api.asked == ["remove Prometheus.v1.monitoring.coreos.com db/p"]


def test_an_owner_that_is_gone_ends_the_chain() -> None:
    missing = [owner("Prometheus", "p", "monitoring.coreos.com/v1")]
    api = MemoryApi(
        [
            thing("StatefulSet", "s", group="apps", namespace="db", ownerReferences=missing),
            pod("s-0", owner=owner("StatefulSet", "s")),
        ]
    )
    free(api, namespace="db", claim="data")
    assert api.asked == ["remove StatefulSet.v1.apps db/s"]


@pytest.mark.parametrize(
    "reference", [None, owner("Node", "machine", "v1"), owner("ConfigMap", "note", "v1", controller=False)]
)
def test_a_pod_of_nobodys_goes_itself(reference: dict[str, Any] | None) -> None:
    machine, note = thing("Node", "machine"), thing("ConfigMap", "note", namespace="db")
    api = MemoryApi([pod("alone", owner=reference), machine, note])
    free(api, namespace="db", claim="data")
    assert api.asked == ["remove Pod.v1. db/alone"]


@pytest.mark.parametrize(
    "other",
    [
        pod("ended", phase="Succeeded"),
        pod("failed", phase="Failed"),
        pod("elsewhere", persistentVolumeClaim={"claimName": "other"}),
        pod("without", emptyDir={}),
    ],
)
def test_pods_that_do_not_keep_the_claim_are_left(other: dict[str, Any]) -> None:
    api = MemoryApi([other])
    free(api, namespace="db", claim="data")
    assert api.asked == []


def test_a_claim_made_for_one_pod_goes_with_it() -> None:
    api = MemoryApi([pod("worker", ephemeral={"volumeClaimTemplate": {}})])
    free(api, namespace="db", claim="worker-v")
    assert api.asked == ["remove Pod.v1. db/worker"]


def test_a_chain_without_end_is_not_followed_for_ever() -> None:
    circle = [owner("StatefulSet", "s")]
    api = MemoryApi(
        [
            thing("StatefulSet", "s", group="apps", namespace="db", ownerReferences=circle),
            pod("s-0", owner=circle[0]),
        ]
    )
    free(api, namespace="db", claim="data")
    assert api.asked == ["remove StatefulSet.v1.apps db/s"]
