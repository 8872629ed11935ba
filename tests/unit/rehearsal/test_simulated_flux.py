"""The rehearsed Flux: readiness over time, suspension, what it holds, and what faults do to it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.rehearsal.flux_world import NAMES, flux_in, hand_over, settle, take_back
from zave.errors import StepFailedError, StuckError, UnreachableError
from zave.ports.flux import Holder
from zave.ports.machines import Machine, Release
from zave.rehearsal.flux import SimulatedFlux
from zave.rehearsal.machines import SimulatedMachines
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]
LAB = "homelab"
RELEASE = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata:
  name: {name}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: {name}
spec: {{}}
"""
CLAIM = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: images
"""
CLAIM_HOLDER = Holder("PersistentVolumeClaim", "images", "registry")


def _join(world: World) -> None:
    machine = Machine(f"{LAB}-control-plane-1", "control-plane", "")
    SimulatedMachines(world, instance=LAB).join(
        [machine], release=Release("v1.35.9+k3s1", "0" * 64, "vendor"), say=lambda _text, _fraction: None
    )


@pytest.fixture
def lab(world: World, draft: DraftOf) -> World:
    """A world with a control plane that has joined."""
    world.create(draft(f"zave-{LAB}-control-plane-1", running=True))
    _join(world)
    return world


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose first layer has a HelmRelease and whose platform has one and a claim."""
    for layer, piece in (("infrastructure-controllers", "base/one"), ("platform", "base/two")):
        folder = tmp_path / "clusters" / LAB / layer
        folder.mkdir(parents=True)
        (folder / "kustomization.yaml").write_text(f"resources:\n  - ../../../{piece}\n")
    for name, namespace, more in (("one", "istio-system", ""), ("two", "registry", CLAIM)):
        folder = tmp_path / "base" / name
        folder.mkdir(parents=True)
        entries = "  - release.yaml\n" + ("  - claim.yaml\n" if more else "")
        (folder / "kustomization.yaml").write_text(f"namespace: {namespace}\nresources:\n{entries}")
        (folder / "release.yaml").write_text(RELEASE.format(name=name))
        if more:
            (folder / "claim.yaml").write_text(more)
    return tmp_path


@pytest.fixture
def flux(lab: World, tree: Path) -> SimulatedFlux:
    return flux_in(lab, tree)


def _ready(flux: SimulatedFlux, kind: str = "Kustomization") -> list[str]:
    return [each.name for each in flux.reconciliations(instance=LAB) if each.ready and each.kind == kind]


def test_layers_become_ready_in_order_and_never_before_their_releases(
    lab: World, flux: SimulatedFlux
) -> None:
    hand_over(flux, LAB)
    seen: list[list[str]] = [_ready(flux)]
    start = lab.clock.now()
    while len(seen[-1]) < len(NAMES):
        lab.clock.sleep(5)
        if _ready(flux) != seen[-1]:
            seen.append(_ready(flux))
            if NAMES[0] in seen[-1]:
                assert "one" in _ready(flux, "HelmRelease")
    assert seen == [list(NAMES[:count]) for count in range(5)]
    assert 80 <= (lab.clock.now() - start).total_seconds() <= 400
    assert _ready(flux, "HelmRelease") == ["one", "two"]


def test_releases_of_a_layer_are_there_once_it_is_applied(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    first = flux.reconciliations(instance=LAB)
    assert [each.name for each in first if each.kind == "HelmRelease"] == ["one"]
    waiting = {each.name: each.message for each in first}
    assert waiting["infrastructure-controllers"] == "waiting for HelmRelease istio-system/one"
    assert waiting["infrastructure-configs"] == "dependency 'infrastructure-controllers' is not ready"


def test_time_that_passed_unseen_counts(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    lab.clock.advance(400)
    assert _ready(flux) == list(NAMES)


def test_what_is_ready_names_the_commit_that_it_was_applied_from(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB, revision="aaaa")
    settle(lab, flux, LAB)
    states = [each for each in flux.reconciliations(instance=LAB) if each.kind == "Kustomization"]
    assert {each.revision for each in states} == {"aaaa"}
    hand_over(flux, LAB, revision="bbbb")
    # another commit is applied anew; releases that did not change stay as they are
    assert _ready(flux) == []
    assert _ready(flux, "HelmRelease") == ["one"]
    settle(lab, flux, LAB)
    assert {each.revision for each in flux.reconciliations(instance=LAB) if each.revision} == {"bbbb"}


def test_second_bootstrap_goes_on_where_the_first_one_was(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    settle(lab, flux, LAB)
    hand_over(flux, LAB)
    assert _ready(flux) == list(NAMES)
    hand_over(flux, LAB, [*NAMES, "more"])
    assert _ready(flux) == list(NAMES)


def test_without_a_control_plane_there_is_nothing(world: World, tree: Path) -> None:
    flux = flux_in(world, tree)
    assert flux.presence(instance=LAB) == "absent"
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        hand_over(flux, LAB)
    assert flux.reconciliations(instance=LAB) == []
    assert flux.holders(instance=LAB) == flux.layers(instance=LAB) == []
    flux.suspend(instance=LAB)
    flux.delete(instance=LAB, what=CLAIM_HOLDER)
    flux.release(instance=LAB, what=CLAIM_HOLDER)


def test_bootstrap_needs_the_tree(lab: World, tmp_path: Path) -> None:
    with pytest.raises(StepFailedError) as caught:
        hand_over(flux_in(lab, tmp_path / "absent"), LAB)
    assert caught.value.where == str(tmp_path / "absent")


def test_rebuilt_cluster_has_no_flux_yet(lab: World, flux: SimulatedFlux, draft: DraftOf) -> None:
    hand_over(flux, LAB)
    lab.lose("libvirt_domain", f"zave-{LAB}-control-plane-1")
    assert flux.reconciliations(instance=LAB) == []
    lab.create(draft(f"zave-{LAB}-control-plane-1", running=True))
    _join(lab)
    assert flux.presence(instance=LAB) == "bare"
    assert flux.reconciliations(instance=LAB) == []


def test_an_api_that_is_off_is_silent(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    assert flux.presence(instance=LAB) == "flux"
    lab.stop("libvirt_domain", f"zave-{LAB}-control-plane-1")
    assert flux.presence(instance=LAB) == "silent"
    with pytest.raises(UnreachableError):
        flux.reconciliations(instance=LAB)


def test_a_silent_api_answers_nothing_until_the_fault_is_used_up(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    lab.faults.add("silent api 2 times")
    assert flux.presence(instance=LAB) == "silent"
    with pytest.raises(UnreachableError):
        flux.suspend(instance=LAB)
    assert flux.presence(instance=LAB) == "flux"


def test_failing_layer_is_never_ready_while_the_fault_stands(lab: World, flux: SimulatedFlux) -> None:
    lab.faults.add('fail reconcile platform with "no such chart"')
    hand_over(flux, LAB)
    for _ in range(50):
        lab.clock.sleep(30)
        assert "platform" not in _ready(flux)
    states = {each.name: each for each in flux.reconciliations(instance=LAB)}
    assert states["platform"].message == "no such chart"
    assert states["apps"].message == "dependency 'platform' is not ready"
    lab.faults.clear()
    settle(lab, flux, LAB)


def test_failing_release_holds_up_its_layer_and_says_why(lab: World, flux: SimulatedFlux) -> None:
    lab.faults.add('fail reconcile helmrelease two with "quota exceeded"')
    hand_over(flux, LAB)
    for _ in range(50):
        lab.clock.sleep(30)
        assert _ready(flux) in ([], list(NAMES[:1]), list(NAMES[:2]))
    states = {each.name: each for each in flux.reconciliations(instance=LAB)}
    assert (states["two"].ready, states["two"].message) == (False, "quota exceeded")
    assert states["platform"].message == "waiting for HelmRelease registry/two"
    assert "quota exceeded" in flux.reason(instance=LAB, of=states["two"])
    lab.faults.clear()
    # a bootstrap does not wait for the next try
    hand_over(flux, LAB)
    settle(lab, flux, LAB)


def test_slow_images_take_their_time(lab: World, flux: SimulatedFlux) -> None:
    lab.faults.add("slow pull image.one by 10x")
    hand_over(flux, LAB)
    lab.clock.sleep(150)
    states = {each.name: each for each in flux.reconciliations(instance=LAB)}
    assert (states["one"].ready, states["one"].message) == (False, "pulling images takes its time")
    settle(lab, flux, LAB)


def test_the_claims_of_the_tree_are_held(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    (claim,) = flux.holders(instance=LAB)
    assert (claim.kind, claim.namespace, claim.name) == ("PersistentVolumeClaim", "registry", "images")
    assert claim.finalizers == ("kubernetes.io/pvc-protection",)
    assert not claim.deleting
    flux.delete(instance=LAB, what=claim)
    assert flux.holders(instance=LAB)[0].deleting
    lab.clock.sleep(60)
    assert flux.holders(instance=LAB) == []


def test_what_is_deleted_comes_back_unless_flux_is_suspended(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    settle(lab, flux, LAB)
    flux.delete(instance=LAB, what=CLAIM_HOLDER)
    lab.clock.sleep(60)
    assert flux.holders(instance=LAB) == []
    lab.clock.sleep(900)
    assert [each.name for each in flux.holders(instance=LAB)] == ["images"]

    flux.suspend(instance=LAB)
    assert all(each.suspended for each in flux.reconciliations(instance=LAB))
    flux.delete(instance=LAB, what=CLAIM_HOLDER)
    lab.clock.sleep(9000)
    assert flux.holders(instance=LAB) == []


def test_a_suspended_flux_applies_nothing(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    flux.suspend(instance=LAB)
    lab.clock.sleep(3600)
    assert _ready(flux) == []
    hand_over(flux, LAB)
    settle(lab, flux, LAB)


def test_a_finalizer_that_is_kept_keeps_its_object(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    lab.faults.add("keep finalizer persistentvolumeclaim.images")
    flux.suspend(instance=LAB)
    flux.delete(instance=LAB, what=CLAIM_HOLDER)
    lab.clock.sleep(9000)
    assert [each.deleting for each in flux.holders(instance=LAB)] == [True]
    flux.release(instance=LAB, what=CLAIM_HOLDER)
    assert flux.holders(instance=LAB) == []


def test_a_finalizer_that_is_released_late_delays_its_object(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    lab.faults.add("keep finalizer persistentvolumeclaim twice")
    flux.delete(instance=LAB, what=CLAIM_HOLDER)
    for _ in range(3):
        lab.clock.sleep(30)
        assert flux.holders(instance=LAB)
    lab.clock.sleep(300)
    assert flux.holders(instance=LAB) == []


def test_taken_back_flux_is_gone_and_that_took_time(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    settle(lab, flux, LAB)
    before = lab.clock.now()
    take_back(lab, flux, LAB)
    assert lab.clock.now() > before
    assert flux.presence(instance=LAB) == "bare"
    assert flux.reconciliations(instance=LAB) == []
    assert lab.get_document("cluster", LAB) is None
    take_back(lab, flux, LAB)


def test_a_kept_finalizer_of_a_layer_stops_the_teardown_there(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    settle(lab, flux, LAB)
    lab.faults.add("keep finalizer kustomization.platform")
    with pytest.raises(StuckError, match=r"Kustomization platform .*finalizers\.fluxcd\.io"):
        take_back(lab, flux, LAB)
    assert [each.name for each in flux.layers(instance=LAB)] == list(NAMES[:3])
    take_back(lab, flux, LAB, force=True)
    assert flux.layers(instance=LAB) == []


def test_somebody_who_looks_does_not_undo_what_another_does(
    lab: World, flux: SimulatedFlux, tree: Path, world_path: Path
) -> None:
    hand_over(flux, LAB)
    lab.clock.sleep(400)
    other = World.open(world_path)
    try:
        looking = flux_in(other, tree)
        reading = other.get_document

        def read_and_be_overtaken(kind: str, name: str) -> object:
            found = reading(kind, name)
            if kind == "cluster":
                flux.suspend(instance=LAB)
            return found

        other.get_document = read_and_be_overtaken  # type: ignore[method-assign, assignment]
        looking.reconciliations(instance=LAB)
    finally:
        other.close()
    assert all(each.suspended for each in flux.reconciliations(instance=LAB))


def test_what_an_older_zave_kept_is_no_flux(lab: World, flux: SimulatedFlux) -> None:
    hand_over(flux, LAB)
    machine = (lab.get_document("cluster", LAB) or {})["machine"]
    lab.put_document("cluster", LAB, {"machine": machine, "since": 0.0, "kustomizations": []})
    assert flux.presence(instance=LAB) == "bare"


@pytest.mark.parametrize(
    "text",
    ["", "resources: [", "resources:\n  - ../../../../../../etc\n", "resources:\n  - ../platform\n"],
    ids=["empty", "broken", "outside", "itself"],
)
def test_a_tree_that_cannot_be_read_has_no_releases(
    lab: World, flux: SimulatedFlux, tree: Path, text: str
) -> None:
    (tree / "clusters" / LAB / "platform" / "kustomization.yaml").write_text(text)
    hand_over(flux, LAB)
    settle(lab, flux, LAB)
    assert _ready(flux, "HelmRelease") == ["one"]
