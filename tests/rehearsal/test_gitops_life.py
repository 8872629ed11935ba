"""Flux in rehearsal: both environments end with all ready, faults are named, `down` keeps its order."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.rehearsal.killing import kill_everything

if TYPE_CHECKING:
    from tests.rehearsal.aws_lab import AwsLab
    from tests.rehearsal.lab import Ended, Lab

LAYERS = ["infrastructure-controllers", "infrastructure-configs", "platform", "apps"]
LEAK = 6
# nothing else may differ: the parts of a teardown, and the layers, the other way round
REVERSED = """\
import sys
from zave.gitops import teardown
teardown.ORDER = tuple(reversed(teardown.ORDER))
teardown.last_first = list
from zave.cli.app import main
sys.exit(main())
"""


def states(ended: Ended, *, action: str, state: str = "done") -> list[str]:
    """The objects of the step gitops that got into `state`, in order."""
    return [
        each["address"]
        for each in ended.documents
        if each["event"] == "resource"
        and each["step"] == "gitops"
        and (each["action"], each["state"]) == (action, state)
    ]


def said(ended: Ended) -> str:
    return "\n".join(d["text"] for d in ended.documents if d["event"] in ("step.progress", "notice"))


def flux(lab: Lab, instance: str) -> dict[str, Any] | None:
    with lab.world() as world:
        return world.get_document("cluster", instance)


def test_a_home_lab_ends_with_all_ready_and_goes_in_order(lab: Lab) -> None:
    up = lab.up()
    assert up.exit_code == 0, up.told()
    ready = states(up, action="apply")
    assert [each.removeprefix("Kustomization ") for each in ready if each.startswith("Kust")] == LAYERS
    releases = [each for each in ready if each.startswith("HelmRelease")]
    assert {"HelmRelease cert-manager/cert-manager", "HelmRelease argocd/argocd"} <= set(releases)
    assert "nothing remote is asked" in said(up)
    repository = lab.state / "rehearsal" / "repository" / "repository.git"
    tip = (repository / "refs/heads/main").read_text().strip()
    found = flux(lab, "homelab")
    assert found is not None
    assert found["revision"] == tip

    again = lab.up()
    assert again.exit_code == 0, again.told()
    assert {p["action"] for p in again.documents[0]["steps"]} == {"skip"}

    down = lab.down()
    assert down.exit_code == 0, down.told()
    assert "suspending Flux" in said(down)
    gone = states(down, action="delete")
    layers = [each.removeprefix("Kustomization ") for each in gone if each.startswith("Kust")]
    assert layers == LAYERS[::-1]
    assert gone[0] == "PersistentVolumeClaim registry/images"
    assert flux(lab, "homelab") is None


def test_a_failing_release_is_named_with_its_reason_and_then_goes_on(lab: Lab) -> None:
    fault = 'fail reconcile helmrelease argocd with "the quota is used up"'
    failed = lab.up("--fault", fault, "--fault", "slow pull image.cert-manager by 3x")
    assert failed.exit_code == 1, failed.told()
    assert "HelmRelease argocd/argocd" in failed.error["brief"]
    assert "the quota is used up" in failed.complaint()
    assert "pulling images" in said(failed)
    # what does not depend on it is ready
    assert "HelmRelease monitoring/kube-prometheus-stack" in states(failed, action="apply")
    assert states(failed, action="apply", state="failed") == ["HelmRelease argocd/argocd"]

    assert lab.zave("rehearse", "faults", "clear").exit_code == 0
    again = lab.up()
    assert again.exit_code == 0, again.told()
    assert "Kustomization apps" in states(again, action="apply")


def test_a_finalizer_that_nobody_releases_stops_down_and_force_goes_past_it(standing_lab: Lab) -> None:
    before = standing_lab.standing()
    stuck = standing_lab.down("--fault", "keep finalizer persistentvolumeclaim.images")
    assert stuck.exit_code == 1, stuck.told()
    assert "PersistentVolumeClaim registry/images" in stuck.error["brief"]
    assert "kubernetes.io/pvc-protection" in stuck.error["brief"]
    assert "--force" in stuck.error["resolution"]
    assert standing_lab.standing() == before

    forced = standing_lab.down("--force")
    assert forced.exit_code == 0, forced.told()
    assert "kubernetes.io/pvc-protection" in said(forced)
    assert not standing_lab.standing()


def test_a_silent_api_does_not_keep_a_lab_from_going(standing_lab: Lab) -> None:
    ended = standing_lab.down("--fault", "silent api")
    assert ended.exit_code == 0, ended.told()
    assert "does not answer" in said(ended)
    assert not standing_lab.standing()


def test_a_teardown_that_is_killed_goes_on(standing_lab: Lab) -> None:
    # slow enough that the kill comes before the end
    speed = ("--speed", "20")
    process = standing_lab.start("down", "homelab", "--rehearse", "--yes", "-o", "json", *speed)
    assert process.stdout is not None
    for line in process.stdout:
        if "Kustomization platform delete" in line or '"Kustomization platform"' in line:
            break
    else:
        pytest.fail("the teardown never came to the layer platform")
    kill_everything(process.pid, standing_lab.state)
    process.communicate()
    assert flux(standing_lab, "homelab") is not None
    again = standing_lab.down("--speed", "0")
    assert again.exit_code == 0, again.told()
    assert "Kustomization apps" not in states(again, action="delete")
    assert not standing_lab.standing()


def test_a_demo_has_all_ready_and_lets_go_before_terraform(demo_lab: AwsLab) -> None:
    found = flux(demo_lab, "aws-demo")
    assert found is not None
    names = {each["name"] for each in found["releases"] if each["ready_at"] is not None}
    assert {"aws-load-balancer-controller", "karpenter", "gateway", "argocd"} <= names
    assert [each["name"] for each in found["layers"] if each["ready_at"] is not None] == LAYERS

    # what the sweep may not delete must be gone by itself: only the order sees to that
    down = demo_lab.end("--fault", "refuse delete aws_lb")
    assert down.exit_code == 0, down.told()
    gone = states(down, action="delete")
    assert gone.index("Service istio-ingress/gateway") < gone.index("Kustomization apps")
    assert [each for each in gone if each.startswith("Kust")] == [f"Kustomization {n}" for n in LAYERS[::-1]]
    destroyed = next(
        i for i, d in enumerate(down.documents) if d["event"] == "step.started" and d["step"] == "infra"
    )
    last = max(i for i, d in enumerate(down.documents) if d.get("address") == "Kustomization apps")
    assert last < destroyed
    assert demo_lab.parts() == []


def test_the_other_order_leaves_a_load_balancer_behind(demo_lab: AwsLab) -> None:
    words = ("down", "aws-demo", "--rehearse", "--yes", "-o", "json")
    faults = ("--fault", "refuse delete aws_lb")
    stuck = _reversed(demo_lab, *words, *faults)
    assert stuck["exit_code"] == 1
    assert "Kustomization infrastructure-configs" in stuck["error"]["brief"]

    forced = _reversed(demo_lab, *words, "--force")
    assert forced["exit_code"] == LEAK, forced
    assert "aws_lb" in forced["error"]["details"]
    assert any(part.type == "aws_lb" for part in demo_lab.parts())


def _reversed(lab: AwsLab, *words: str) -> dict[str, Any]:
    """The last event of a zave whose teardown goes the other way round."""
    ended = subprocess.run(
        [sys.executable, "-c", REVERSED, *words],
        capture_output=True,
        text=True,
        cwd=lab.home,
        env=lab.environment(),
        check=False,
        timeout=120,
    )
    last: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    assert last["event"] == "run.finished", ended.stdout[-3000:] + ended.stderr[-3000:]
    return last
