"""The order in which a cluster is taken back from Flux, and what happens where something does not let go."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.gitops.unexpected_flux import UnexpectedFlux
from zave.errors import InterruptedRunError, StepFailedError, StuckError, ToolMissingError, UnreachableError
from zave.events import Event, Notice, ResourceChanged
from zave.gitops.teardown import Teardown
from zave.gitops.watch import Watch, named
from zave.ports import Item
from zave.ports.flux import Holder, Presence

SERVICE = Holder("Service", "gateway", "istio-ingress", finalizers=("service.k8s.aws/resources",))
CLAIM = Holder("PersistentVolumeClaim", "metrics", "monitoring", finalizers=("kubernetes.io/pvc-protection",))
POOL = Holder("NodePool", "default", finalizers=("karpenter.sh/termination",))
CLAIMED = Holder("NodeClaim", "default-1", finalizers=("karpenter.sh/termination",))
LAYERS = tuple(
    Holder("Kustomization", name, "flux-system", finalizers=("finalizers.fluxcd.io",))
    for name in ("flux-system", "controllers", "configs", "apps")
)
BALANCER = Item("aws_lb", "arn:lb", "k8s-gateway")


@dataclass
class Hours:
    at: datetime = datetime(2026, 11, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class FakeFlux(UnexpectedFlux):
    """A cluster as Kubernetes keeps it: what is deleted goes `takes` seconds later.

    `silent` is how many calls are not answered, None for all; `tape` is what was asked, in order.
    """

    clock: Hours
    there: dict[str, Holder]
    takes: dict[str, float] = field(default_factory=dict)
    tape: list[str] = field(default_factory=list)
    present: Presence = "flux"
    silent: int | None = 0
    suspended: bool = False
    asked_at: dict[str, datetime] = field(default_factory=dict)

    def presence(self, *, instance: str) -> Presence:
        return self.present

    def suspend(self, *, instance: str) -> None:
        self._answer()
        self.suspended = True
        self.tape.append("suspend")

    def holders(self, *, instance: str) -> Sequence[Holder]:
        return [each for each in self._listed() if each.kind != "Kustomization"]

    def layers(self, *, instance: str) -> Sequence[Holder]:
        return [each for each in self._listed() if each.kind == "Kustomization"]

    def delete(self, *, instance: str, what: Holder) -> None:
        self._answer()
        name = named(what)
        if name in self.there and name not in self.asked_at:
            self.asked_at[name] = self.clock.now()
            self.tape.append(f"delete {name}")

    def release(self, *, instance: str, what: Holder) -> None:
        self._answer()
        self.there.pop(named(what), None)
        self.tape.append(f"release {named(what)}")

    def _answer(self) -> None:
        if self.silent is None or self.silent > 0:
            self.silent = None if self.silent is None else self.silent - 1
            raise UnreachableError("the API does not answer")

    def _listed(self) -> list[Holder]:
        self._answer()
        for name, asked in list(self.asked_at.items()):
            if name in self.there and self.clock.now() - asked >= timedelta(seconds=self.takes.get(name, 5)):
                del self.there[name]
                self.tape.append(f"gone {name}")
        return [
            replace(each, deleting=each.deleting or name in self.asked_at)
            for name, each in self.there.items()
        ]


@dataclass
class Case:
    clock: Hours = field(default_factory=Hours)
    heard: list[Event] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    outside: list[Item] = field(default_factory=list)
    flux: FakeFlux = field(init=False)

    def __post_init__(self) -> None:
        objects = (SERVICE, CLAIM, POOL, CLAIMED, *LAYERS)
        self.flux = FakeFlux(self.clock, {named(each): each for each in objects})

    def take_back(self, *, force: bool = False) -> None:
        watch = Watch(say=lambda text, _fraction: self.said.append(text), emit=self.heard.append)
        Teardown(self.flux, "demo", lambda: self.outside, self.clock, watch, force=force).run()

    @property
    def warnings(self) -> list[str]:
        return [each.text for each in self.heard if isinstance(each, Notice) and each.level == "warning"]


@pytest.fixture
def case() -> Case:
    return Case()


def test_everything_goes_in_the_order_that_leaves_nothing_behind(case: Case) -> None:
    case.take_back()
    tape = case.flux.tape
    assert tape[0] == "suspend"
    assert tape[1:3] == ["delete Service istio-ingress/gateway", f"delete {named(CLAIM)}"]
    # machines only when what their controllers clean up is gone
    assert tape.index("gone Service istio-ingress/gateway") < tape.index("delete NodePool default")
    gone = [each for each in tape if each.startswith("gone Kustomization")]
    assert gone == [
        f"gone Kustomization {name}" for name in ("apps", "configs", "controllers", "flux-system")
    ]
    assert tape.index("gone NodeClaim default-1") < tape.index("delete Kustomization apps")
    # one at a time
    assert tape.index("gone Kustomization apps") < tape.index("delete Kustomization configs")
    assert case.flux.there == {}


def test_a_claim_that_somebody_deleted_before_is_freed_of_its_pods(case: Case) -> None:
    # the deletion of a claim takes its workloads along: until then it is mounted, and stays
    case.flux.there[named(CLAIM)] = replace(CLAIM, deleting=True)
    case.take_back()
    assert case.flux.tape.count(f"delete {named(CLAIM)}") == 1
    assert case.flux.there == {}


def test_layers_stay_until_the_cloud_has_let_go(case: Case) -> None:
    case.outside = [BALANCER]
    sleep = case.clock.sleep

    def slept(seconds: float) -> None:
        sleep(seconds)
        if "gone NodeClaim default-1" in case.flux.tape and case.clock.at.minute >= 2:
            case.outside = []

    case.clock.sleep = slept  # type: ignore[method-assign]
    case.take_back()
    assert case.flux.asked_at["Kustomization apps"].minute >= 2
    assert any("aws_lb k8s-gateway" in text for text in case.said)
    assert case.warnings == []


def test_what_nothing_holds_any_more_is_left_to_the_sweep(case: Case) -> None:
    case.outside = [BALANCER]
    case.take_back()
    assert case.flux.there == {}
    (warning,) = case.warnings
    assert "aws_lb k8s-gateway" in warning


@pytest.mark.parametrize("stuck", [SERVICE, CLAIM, CLAIMED, LAYERS[1]], ids=lambda each: each.kind)
def test_the_first_finalizer_that_nobody_releases_stops_it_and_is_named(case: Case, stuck: Holder) -> None:
    case.flux.takes[named(stuck)] = 1e9
    with pytest.raises(StuckError) as caught:
        case.take_back()
    error = caught.value
    assert error.exit_code == 1
    assert named(stuck) in error.brief
    assert stuck.finalizers[0] in error.brief
    assert f"describe {stuck.kind.lower()} {stuck.name}" in (error.details or "")
    assert "--force" in (error.resolution or "")
    assert named(stuck) in case.flux.there
    # nothing that comes after it was touched
    if stuck.kind != "Kustomization":
        assert not any("Kustomization" in each for each in case.flux.tape)
    else:
        assert "Kustomization flux-system" in case.flux.there


def test_force_takes_its_finalizers_away_and_says_what_may_stay(case: Case) -> None:
    case.flux.takes[named(SERVICE)] = 1e9
    case.take_back(force=True)
    assert case.flux.there == {}
    (warning,) = case.warnings
    assert "service.k8s.aws/resources" in warning
    assert "Service istio-ingress/gateway" in warning
    assert "release Service istio-ingress/gateway" in case.flux.tape


def test_force_takes_nothing_away_that_goes_by_itself(case: Case) -> None:
    case.flux.takes[named(SERVICE)] = 300
    case.take_back(force=True)
    assert not any(each.startswith("release") for each in case.flux.tape)
    assert case.warnings == []


@pytest.mark.parametrize("kill_at", range(1, 12))
def test_what_was_cut_off_goes_on(case: Case, kill_at: int) -> None:
    class KilledError(BaseException):
        pass

    left, sleep = kill_at, case.clock.sleep

    def dying(seconds: float) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KilledError
        sleep(seconds)

    case.clock.sleep = dying  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        case.take_back()
    case.clock.sleep = sleep  # type: ignore[method-assign]
    case.take_back()
    assert case.flux.there == {}
    assert len([each for each in case.flux.tape if each.startswith("delete")]) == 8


@pytest.mark.parametrize(("presence", "word"), [("absent", "nothing to take back"), ("silent", "the sweep")])
def test_without_an_api_it_says_so_and_goes_on(case: Case, presence: Presence, word: str) -> None:
    case.flux.present = presence
    case.flux.silent = None
    case.take_back()
    assert word in " ".join([*case.said, *case.warnings])
    assert case.flux.tape == []


def test_without_the_program_that_asks_it_says_so_and_goes_on(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*, instance: str) -> Presence:
        raise ToolMissingError(f"kubectl was not found for {instance}")

    monkeypatch.setattr(case.flux, "presence", missing)
    case.take_back()
    assert case.flux.tape == []
    [warning] = case.warnings
    assert "cannot be asked (kubectl was not found" in warning
    assert "by the sweep" in warning


def test_a_cluster_without_flux_still_lets_go_of_what_it_holds(case: Case) -> None:
    case.flux.present = "bare"
    case.flux.there = {named(CLAIM): CLAIM}
    case.take_back()
    assert case.flux.tape == [f"delete {named(CLAIM)}", f"gone {named(CLAIM)}"]


def test_an_api_that_is_away_for_a_moment_is_waited_for(case: Case) -> None:
    case.flux.silent = 5
    case.take_back()
    assert case.flux.there == {}
    assert case.warnings == []


def test_an_api_that_dies_in_the_middle_leaves_the_rest_to_the_sweep(case: Case) -> None:
    sleep = case.clock.sleep

    def dying(seconds: float) -> None:
        sleep(seconds)
        if "gone Kustomization apps" in case.flux.tape:
            case.flux.silent = None

    case.clock.sleep = dying  # type: ignore[method-assign]
    started = case.clock.at
    case.take_back()
    (warning,) = case.warnings
    assert "stopped answering" in warning
    assert "Kustomization controllers" in case.flux.there
    assert case.clock.at - started < timedelta(minutes=5)


def test_whoever_wants_it_to_stop_is_heard(case: Case) -> None:
    case.flux.takes[named(SERVICE)] = 1e9

    def stop() -> None:
        if len(case.flux.tape) > 2:
            raise InterruptedRunError("stopped")

    watch = Watch(say=lambda _text, _fraction: None, emit=case.heard.append, check=stop)
    with pytest.raises(InterruptedRunError):
        Teardown(case.flux, "demo", lambda: (), case.clock, watch).run()


def test_a_refusal_of_the_api_is_no_silence(case: Case) -> None:
    def refused(*, instance: str) -> None:
        raise StepFailedError("forbidden")

    case.flux.suspend = refused  # type: ignore[method-assign]
    with pytest.raises(StepFailedError, match="forbidden"):
        case.take_back()


def test_progress_tells_each_object_when_it_goes(case: Case) -> None:
    case.take_back()
    told = [(e.address, e.state) for e in case.heard if isinstance(e, ResourceChanged)]
    for each in (SERVICE, CLAIM, POOL, CLAIMED, *LAYERS):
        assert told.index((named(each), "started")) < told.index((named(each), "done"))


def test_what_is_only_waited_for_is_told_once(case: Case) -> None:
    volume = Holder("PersistentVolume", "pvc-1")
    case.flux.there = {named(volume): volume, named(POOL): POOL}
    delete, sleep, gone_at = case.flux.delete, case.clock.sleep, case.clock.at + timedelta(seconds=60)

    def waits(*, instance: str, what: Holder) -> None:
        if what.kind != "PersistentVolume":
            delete(instance=instance, what=what)

    def slept(seconds: float) -> None:
        sleep(seconds)
        if case.clock.at >= gone_at:
            case.flux.there.pop(named(volume), None)

    case.flux.delete = waits  # type: ignore[method-assign]
    case.clock.sleep = slept  # type: ignore[method-assign]
    case.take_back()
    told = [(e.address, e.state) for e in case.heard if isinstance(e, ResourceChanged)]
    assert told.count((named(volume), "started")) == 1
    # the machines wait until the last disk has gone
    assert case.flux.asked_at[named(POOL)] >= gone_at
