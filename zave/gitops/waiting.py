"""Waiting until Flux has applied what was published: live progress, and the reason of the first failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zave.clock import Clock
from zave.errors import StepFailedError, UnreachableError, ZaveError
from zave.events import ResourceState
from zave.gitops.watch import Watch, named
from zave.ports.flux import Flux, Reconciliation, Source
from zave.text import clean

# seconds of the world's time between looks
_EVERY = 10.0
# Flux words it so (kustomize-controller, helm-controller): what waits for another is no culprit
_WAITING = "dependency '"
_LONGEST = 4000


def revisions(flux: Flux, *, instance: str) -> Mapping[str, str]:
    """The commit that each Kustomization was applied from, before another is published to it."""
    return {
        each.name: each.revision
        for each in flux.reconciliations(instance=instance)
        if each.kind == "Kustomization"
    }


@dataclass
class Waiting:
    """Waits for every Kustomization of `source`, and every HelmRelease there is.

    `before` is what `revisions` told before the bootstrap: readiness from then does not count. A commit
    that somebody else has published meanwhile does: from the bootstrap on Git decides. `limit` in seconds
    of the world's time.
    """

    flux: Flux
    instance: str
    source: Source
    before: Mapping[str, str]
    clock: Clock
    watch: Watch
    limit: float
    _told: dict[str, str] = field(default_factory=dict)
    _said: str = ""

    def until_ready(self) -> None:
        """Raises StepFailedError with the reason of the first failure: stalled, or not ready in time."""
        started = self._now()
        while True:
            states, silence = self._look()
            missing = self._missing(states)
            for each in states:
                self._tell_one(each)
            if silence is None and not missing:
                return
            self.watch.check()
            self._tell(states, silence, waited=self._now() - started)
            stalled = next((each for each in missing if each.stalled), None)
            if stalled is not None:
                raise self._failed(stalled, "Flux has given up on it")
            if self._now() - started >= self.limit:
                if silence is not None:
                    raise silence
                raise self._failed(culprit(missing), f"not ready after {self.limit / 60:.0f} min")
            self.clock.sleep(_EVERY)

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _look(self) -> tuple[Sequence[Reconciliation], UnreachableError | None]:
        """The present states; an API that is away for a moment is waited for."""
        try:
            return self.flux.reconciliations(instance=self.instance), None
        except UnreachableError as error:
            return (), error

    def _missing(self, states: Sequence[Reconciliation]) -> list[Reconciliation]:
        """What is not ready yet, in the order in which it is told; Kustomizations that are not there too."""
        there = {each.name for each in states if each.kind == "Kustomization"}
        absent = [
            Reconciliation("Kustomization", name, False, "it is not there yet")
            for name in self.source.names
            if name not in there
        ]
        return [*(each for each in states if not self._is_done(each)), *absent]

    def _is_done(self, each: Reconciliation) -> bool:
        if not each.ready or each.kind != "Kustomization" or each.name not in self.source.names:
            return each.ready
        return each.revision == self.source.revision or each.revision != self.before.get(each.name, "")

    def _tell(
        self, states: Sequence[Reconciliation], silence: UnreachableError | None, *, waited: float
    ) -> None:
        if silence is not None:
            self._say("the API does not answer; asking again", None)
            return
        done = [each for each in states if self._is_done(each)]
        layers = sum(each.kind == "Kustomization" for each in done)
        missing = self._missing(states)
        current = culprit(missing) if missing else None
        text = f"{len(done)} of {len(done) + len(missing)} ready"
        if current is not None:
            text += f"; {named(current)}: {_first_line(current.message)}"
        self._say(f"{text}; {self._estimate(layers, waited=waited)}", layers / max(len(self.source.names), 1))

    def _estimate(self, layers: int, *, waited: float) -> str:
        """How long it may still take, from the pace so far: an early guess is said to be none."""
        longest = f"at most {max(self.limit - waited, 0) / 60:.0f} min more"
        if not layers:
            return longest
        left = waited / layers * (len(self.source.names) - layers)
        return f"about {max(round(left / 60), 1)} min more"

    def _tell_one(self, each: Reconciliation) -> None:
        state = "ready" if self._is_done(each) else each.message
        address, before = named(each), self._told.get(named(each))
        if before == state or (before is None and each.message.startswith(_WAITING)):
            return
        self._told[address] = state
        if state == "ready":
            self.watch.changed(each, "apply", "done")
        else:
            begun: ResourceState = "started" if before is None else "progress"
            self.watch.changed(each, "apply", begun, message=each.message)

    def _say(self, text: str, fraction: float | None) -> None:
        # the estimate alone is no news
        if text.rpartition(";")[0] != self._said.rpartition(";")[0] or not self._said:
            self._said = text
            self.watch.say(text, fraction)

    def _failed(self, each: Reconciliation, what: str) -> StepFailedError:
        self.watch.changed(each, "apply", "failed", message=each.message)
        try:
            reason = self.flux.reason(instance=self.instance, of=each)
        except ZaveError as error:
            reason = f"its reason could not be asked for: {error.brief}"
        details = "\n".join(text for text in (clean(each.message), clean(reason)) if text)
        return StepFailedError(
            f"{named(each)} is not ready: {what}",
            details=details[:_LONGEST] or None,
            where=f"{self.source.path} at {self.source.revision[:12]} of {clean(self.source.url)}",
            resolution=f"put it right in Git, or `zave exec {self.instance} -- flux get all -A`;"
            f" then run the same command again: it goes on where it stopped",
        )


def _first_line(message: str) -> str:
    return clean(message).strip().partition("\n")[0][:120]


def culprit(missing: Sequence[Reconciliation]) -> Reconciliation:
    """The one of several that are not ready that keeps the others waiting, as far as one can tell."""
    own = [each for each in missing if not each.message.startswith(_WAITING)] or list(missing)
    stalled = [each for each in own if each.stalled]
    releases = [each for each in own if each.kind == "HelmRelease"]
    return (stalled or releases or own)[0]
