"""Waiting for Flux: what counts as ready, what is told meanwhile, and the reason of the first failure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.gitops.unexpected_flux import UnexpectedFlux
from zave.errors import StepFailedError, UnreachableError
from zave.events import Event, ResourceChanged
from zave.gitops.waiting import Waiting, culprit
from zave.gitops.watch import Watch
from zave.ports.flux import Reconciliation, Source

SOURCE = Source("https://git.example.org/platform", "main", "clusters/lab", "b" * 40, ("base", "apps"))
BASE = Reconciliation("Kustomization", "base", False, "reconciling")
APPS = Reconciliation("Kustomization", "apps", False, "dependency 'flux-system/base' is not ready")
RELEASE = Reconciliation("HelmRelease", "istiod", False, "installing", namespace="istio-system")


def ready(each: Reconciliation, revision: str = SOURCE.revision) -> Reconciliation:
    return replace(each, ready=True, message="applied", revision=revision)


@dataclass
class Script(UnexpectedFlux):
    """A Flux that tells one list of states after the other, the last one for ever. None: it is silent."""

    states: list[Sequence[Reconciliation] | None]
    why: str = "pod istiod-0: ImagePullBackOff"
    at: datetime = datetime(2026, 11, 23, tzinfo=UTC)
    heard: list[Event] = field(default_factory=list)
    said: list[tuple[str, float | None]] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if found is None:
            raise UnreachableError("the API does not answer")
        return found

    def reason(self, *, instance: str, of: Reconciliation) -> str:
        return f"{self.why} ({of.name})"

    def wait(self, *, before: dict[str, str] | None = None) -> float:
        """Wait; the seconds that it took."""
        started = self.at
        watch = Watch(say=lambda *told: self.said.append(told), emit=self.heard.append)
        Waiting(self, "lab", SOURCE, before or {}, self, watch, limit=600).until_ready()
        return (self.at - started).total_seconds()


def test_it_ends_when_every_layer_and_release_is_ready() -> None:
    script = Script(
        [
            [],
            [BASE, APPS],
            [RELEASE, BASE, APPS],
            [ready(RELEASE), ready(BASE), APPS],
            [ready(RELEASE), ready(BASE), ready(APPS)],
        ]
    )
    assert script.wait() == 40


@pytest.mark.parametrize(
    "unfinished",
    [
        [ready(BASE)],
        [ready(BASE), ready(APPS), RELEASE],
        [ready(BASE), ready(APPS, "a" * 40)],
        [],
        None,
    ],
    ids=["a layer is not there", "a release is not ready", "of the commit before", "nothing", "silence"],
)
def test_less_than_that_is_not_enough(unfinished: Sequence[Reconciliation] | None) -> None:
    with pytest.raises(StepFailedError):
        Script([unfinished]).wait(before={"base": "a" * 40, "apps": "a" * 40})


def test_a_commit_that_somebody_pushed_meanwhile_counts() -> None:
    script = Script([[ready(BASE, "c" * 40), ready(APPS, "c" * 40)]])
    assert script.wait(before={"base": "a" * 40, "apps": "a" * 40}) == 0


def test_an_api_that_is_away_for_a_moment_is_waited_for() -> None:
    script = Script([None, None, [ready(BASE), ready(APPS)]])
    script.wait()
    assert any("does not answer" in text for text, _ in script.said)


def test_the_limit_is_the_end_and_the_first_culprit_is_named_with_its_reason() -> None:
    script = Script([[replace(RELEASE, message="install retries exhausted"), BASE, APPS]])
    with pytest.raises(StepFailedError) as caught:
        script.wait()
    error = caught.value
    assert error.exit_code == 1
    assert "HelmRelease istio-system/istiod" in error.brief
    assert "10 min" in error.brief
    assert "install retries exhausted" in (error.details or "")
    assert "ImagePullBackOff (istiod)" in (error.details or "")
    assert "clusters/lab" in (error.where or "")
    assert "run the same command again" in (error.resolution or "")


def test_what_flux_has_given_up_on_is_not_waited_for() -> None:
    script = Script([[BASE, replace(RELEASE, stalled=True)]])
    started = script.at
    with pytest.raises(StepFailedError, match="given up"):
        script.wait()
    assert script.at == started


def test_a_reason_that_cannot_be_asked_for_hides_nothing() -> None:
    script = Script([[replace(BASE, stalled=True, message="build failed")]])

    def silent(*, instance: str, of: Reconciliation) -> str:
        raise UnreachableError("gone")

    script.reason = silent  # type: ignore[method-assign]
    with pytest.raises(StepFailedError) as caught:
        script.wait()
    assert "build failed" in (caught.value.details or "")


def test_hostile_messages_are_made_harmless() -> None:
    script = Script([[replace(BASE, stalled=True, message="\x1b[2Jboom")]])
    with pytest.raises(StepFailedError) as caught:
        script.wait()
    assert "\x1b" not in (caught.value.details or "")
    assert not any("\x1b" in text for text, _ in script.said)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ([BASE, APPS], "base"),
        ([APPS, BASE, RELEASE], "istiod"),
        ([RELEASE, replace(BASE, stalled=True)], "base"),
        ([APPS], "apps"),
    ],
)
def test_the_culprit_is_what_waits_for_nobody(missing: list[Reconciliation], expected: str) -> None:
    assert culprit(missing).name == expected


def test_each_object_is_told_as_it_changes_and_the_bar_moves() -> None:
    script = Script(
        [
            [RELEASE, BASE, APPS],
            [RELEASE, BASE, APPS],
            [ready(RELEASE), ready(BASE), replace(APPS, message="applying")],
            [ready(RELEASE), ready(BASE), ready(APPS)],
        ]
    )
    script.wait()
    told = [(e.address, e.state) for e in script.heard if isinstance(e, ResourceChanged)]
    assert told == [
        ("HelmRelease istio-system/istiod", "started"),
        ("Kustomization base", "started"),
        ("HelmRelease istio-system/istiod", "done"),
        ("Kustomization base", "done"),
        ("Kustomization apps", "started"),
        ("Kustomization apps", "done"),
    ]
    assert [fraction for _, fraction in script.said] == [0, 0.5]
    assert "HelmRelease istio-system/istiod: installing" in script.said[0][0]
    assert "at most 10 min more" in script.said[0][0]
    assert "2 of 3 ready" in script.said[1][0]
    assert "about 1 min more" in script.said[1][0]
