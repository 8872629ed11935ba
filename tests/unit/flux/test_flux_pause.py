"""Putting to rest and waking: all of it, nothing that somebody else had put to rest, no endless fight."""

import pytest

from tests.unit.flux.memory_api import MemoryApi, thing
from zave.errors import StepFailedError
from zave.flux.kinds import groups_of
from zave.flux.pause import BEFORE, resume_all, suspend_all

FLUX, HELM, ARGO = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "argoproj.io"
AUTOMATED = {"prune": True, "selfHeal": True}


def cluster() -> MemoryApi:
    return MemoryApi(
        [
            thing("HelmRelease", "gateway", group=HELM, namespace="in"),
            thing("HelmRelease", "resting", group=HELM, namespace="in", spec={"suspend": True}),
            thing("Kustomization", "apps", group=FLUX, namespace="flux-system", spec={"suspend": False}),
            thing(
                "Application",
                "podinfo",
                group=ARGO,
                namespace="argocd",
                spec={"syncPolicy": {"automated": AUTOMATED, "retry": {"limit": 3}}},
            ),
            thing("Application", "by-hand", group=ARGO, namespace="argocd", spec={"syncPolicy": {}}),
            thing("ApplicationSet", "all", group=ARGO, namespace="argocd"),
        ]
    )


def specs(api: MemoryApi) -> dict[str, object]:
    return {item["metadata"]["name"]: item["spec"] for item in api.items}


def test_everything_that_makes_things_again_is_put_to_rest() -> None:
    api = cluster()
    suspend_all(api, groups_of(api))
    found = specs(api)
    assert found["apps"] == found["gateway"] == found["resting"] == {"suspend": True}
    assert found["podinfo"] == {"syncPolicy": {"retry": {"limit": 3}}}
    assert found["all"] == {"syncPolicy": {"applicationsSync": "create-only"}}


def test_those_that_apply_others_come_first_and_those_at_rest_are_left() -> None:
    api = cluster()
    suspend_all(api, groups_of(api))
    assert api.asked == [
        "patch Kustomization apps",
        "patch HelmRelease gateway",
        "patch ApplicationSet all",
        "patch Application podinfo",
    ]
    suspend_all(api, groups_of(api))
    assert len(api.asked) == 4


def test_waking_takes_it_all_back_but_leaves_what_another_had_put_to_rest() -> None:
    api = cluster()
    before = specs(cluster())
    suspend_all(api, groups_of(api))
    resume_all(api, groups_of(api))
    found = specs(api)
    assert found["apps"] == {"suspend": False}
    assert found["gateway"] == {}
    assert found["resting"] == before["resting"]
    assert found["podinfo"] == before["podinfo"]
    assert found["all"] == {"syncPolicy": {}}
    assert not any(BEFORE in item["metadata"].get("annotations", {}) for item in api.items)
    assert "patch HelmRelease resting" not in api.asked


def test_waking_twice_changes_nothing() -> None:
    api = cluster()
    suspend_all(api, groups_of(api))
    resume_all(api, groups_of(api))
    asked = list(api.asked)
    resume_all(api, groups_of(api))
    assert api.asked == asked


def test_what_is_woken_again_and_again_is_named() -> None:
    api = cluster()
    api.stubborn = frozenset({"gateway"})
    with pytest.raises(StepFailedError, match="HelmRelease in/gateway does not stay suspended"):
        suspend_all(api, groups_of(api))


def test_a_cluster_without_flux_has_nothing_to_put_to_rest() -> None:
    api = MemoryApi(groups=frozenset({"apps"}))
    suspend_all(api, groups_of(api))
    resume_all(api, groups_of(api))
    assert api.asked == []


def test_a_note_that_is_not_zaves_is_no_reason_to_fail() -> None:
    noted = {BEFORE: "{"}
    api = MemoryApi([thing("Kustomization", "apps", group=FLUX, spec={"suspend": True}, annotations=noted)])
    resume_all(api, groups_of(api))
    assert specs(api)["apps"] == {}
