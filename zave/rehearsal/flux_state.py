"""What a rehearsed Flux is made of, and how it gets on as virtual time passes.

Times are virtual Unix time. Nothing here reads or writes: `Flux.reconciled` and the rest take what they need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from zave.ports.flux import Holder, Reconciliation
from zave.rehearsal.clock import microseconds
from zave.rehearsal.durations import duration_of, seconds_for

LAYER_FINALIZER = "finalizers.fluxcd.io"
"""What keeps a Kustomization until Flux has let go of it (kustomize-controller)."""


@dataclass(frozen=True)
class Attempt:
    """How one reconciliation went: `failure` is what it said, `factor` how much longer it took."""

    failure: str = ""
    factor: float = 1.0


class Luck(Protocol):
    """What strikes one attempt at a Kustomization or a HelmRelease."""

    def __call__(self, kind: str, name: str) -> Attempt:
        """Asked once for each attempt: a fault may be used up by it."""
        ...


@dataclass(frozen=True)
class Applied:
    """A Kustomization or a HelmRelease.

    `ready_at` is None until an attempt succeeds, `message` is what the last failed one said, and the
    next attempt is made at `retry_at`. `layer` is the Kustomization that a HelmRelease is applied by. A
    Kustomization that is being deleted is gone at `gone_at`, if nothing keeps it.
    """

    kind: str
    name: str
    namespace: str = "flux-system"
    layer: str = ""
    ready_at: float | None = None
    retry_at: float = 0.0
    message: str = ""
    suspended: bool = False
    gone_at: float | None = None

    def ready(self, now: float) -> bool:
        """Whether it is ready at this moment."""
        return self.ready_at is not None and self.ready_at <= now

    def attempted(self, luck: Luck, *, start: float, now: float) -> "Applied":
        """The same after another attempt, if one is due."""
        begins = max(start, self.retry_at)
        if self.ready_at is not None or self.suspended or begins > now:
            return self
        attempt = luck(self.kind, self.name)
        row = f"cluster.{self.kind.lower()}"
        if attempt.failure:
            return replace(self, retry_at=now + duration_of(row, "retry").typical, message=attempt.failure)
        seconds = seconds_for(row, "reconcile", self.name) * attempt.factor
        message = "pulling images takes its time" if attempt.factor > 1 else ""
        return replace(self, ready_at=microseconds(begins + seconds), message=message)


@dataclass(frozen=True)
class Held:
    """An object in the cluster that holds something outside of it: the things with these `keys`.

    `controller` is the HelmRelease that lets go of it, empty for one that is no release. It goes at
    `gone_at` once its deletion was asked for. `absent_since`: it is gone, and its layer may make it again.
    """

    kind: str
    name: str
    namespace: str = ""
    layer: str = ""
    finalizer: str = ""
    controller: str = ""
    seconds: float = 0.0
    keys: tuple[str, ...] = ()
    gone_at: float | None = None
    absent_since: float | None = None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What tells it from every other."""
        return self.kind, self.namespace, self.name

    def asked(self, now: float) -> "Held":
        """The same with its deletion asked for."""
        if self.gone_at is not None or self.absent_since is not None:
            return self
        return replace(self, gone_at=microseconds(now + self.seconds))


@dataclass(frozen=True)
class Flux:
    """Flux in one cluster.

    `machine` is the key of the machine that it was installed on: a cluster that was made anew has no
    Flux yet, whatever its name. `pruned` are releases that went with their layer.
    """

    machine: str
    since: float
    revision: str
    layers: tuple[Applied, ...]
    releases: tuple[Applied, ...]
    held: tuple[Held, ...] = ()
    pruned: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As it is kept in the world."""
        return asdict(self)

    def reconciled(self, luck: Luck, *, now: float) -> "tuple[Flux, list[Reconciliation]]":
        """Go through the chain: each layer starts when the one before it is ready."""
        start, waiting_for = self.since, ""
        layers: list[Applied] = []
        releases = {(each.namespace, each.name): each for each in self.releases}
        told: list[Reconciliation] = []
        for layer in self.layers:
            if waiting_for:
                layers.append(layer)
                told.append(self._told(layer, now, f"dependency '{waiting_for}' is not ready"))
                continue
            current = layer.attempted(luck, start=start, now=now)
            layers.append(current)
            own = [each.attempted(luck, start=start, now=now) for each in self.releases_of(layer.name)]
            releases |= {(each.namespace, each.name): each for each in own}
            told += [self._told(each, now, each.message or "installing") for each in own]
            missing = next((each for each in own if not each.ready(now)), None)
            if missing is not None or not current.ready(now):
                waiting_for = layer.name
                health = f"waiting for HelmRelease {missing.namespace}/{missing.name}" if missing else ""
                told.append(
                    self._told(current, now, current.message or health or "reconciling", held_up=True)
                )
                continue
            told.append(self._told(current, now, ""))
            start = max(float(each.ready_at or 0.0) for each in [current, *own])
        changed = replace(self, layers=tuple(layers), releases=tuple(releases.values()))
        return changed, told

    def releases_of(self, layer: str) -> Sequence[Applied]:
        """The HelmReleases that a layer applies."""
        return [each for each in self.releases if each.layer == layer]

    def suspended(self) -> "Flux":
        """Flux with everything suspended."""
        return replace(
            self,
            layers=tuple(replace(each, suspended=True) for each in self.layers),
            releases=tuple(replace(each, suspended=True) for each in self.releases),
        )

    def present(self) -> Sequence[Held]:
        """The holders that are there."""
        return [each for each in self.held if each.absent_since is None]

    def holders(self) -> Sequence[Holder]:
        """The same as the port tells them."""
        return [
            Holder(
                each.kind,
                each.name,
                each.namespace,
                deleting=each.gone_at is not None,
                finalizers=(each.finalizer,) if each.finalizer else (),
            )
            for each in self.present()
        ]

    def without_layer(self, name: str, *, now: float) -> "Flux":
        """Flux with the deletion of a layer asked for.

        One that is not suspended takes along what it applied; a suspended one leaves it where it is.
        """
        layer = next((each for each in self.layers if each.name == name), None)
        if layer is None or layer.gone_at is not None:
            return self
        going = replace(
            layer, gone_at=microseconds(now + duration_of("cluster.kustomization", "delete").typical)
        )
        layers = tuple(going if each is layer else each for each in self.layers)
        if layer.suspended:
            return replace(self, layers=layers)
        mine = self.releases_of(name)
        return replace(
            self,
            layers=layers,
            releases=tuple(each for each in self.releases if each not in mine),
            pruned=(*self.pruned, *(each.name for each in mine)),
            held=tuple(each.asked(now) if each.layer == name else each for each in self.held),
        )

    def without(self, identity: tuple[str, str, str], *, now: float) -> "Flux":
        """Flux with the deletion of a holder asked for; a pool takes its machines along."""
        along = identity[0] == "NodePool"
        return replace(
            self,
            held=tuple(
                each.asked(now) if each.identity == identity or (along and each.kind == "NodeClaim") else each
                for each in self.held
            ),
        )

    def settled_layers(self, *, now: float) -> "Flux":
        """Flux without the layers that have gone by now: one goes only when what it pruned is gone."""
        kept = {each.layer for each in self.present() if each.gone_at is not None}
        return replace(
            self,
            layers=tuple(
                each
                for each in self.layers
                if each.gone_at is None or each.gone_at > now or (not each.suspended and each.name in kept)
            ),
        )

    def _told(self, each: Applied, now: float, message: str, *, held_up: bool = False) -> Reconciliation:
        ready = each.ready(now) and not held_up
        return Reconciliation(
            each.kind,
            each.name,
            ready,
            "applied (simulated)" if ready else message,
            namespace=each.namespace,
            suspended=each.suspended,
            revision=self.revision if ready and each.kind == "Kustomization" else "",
        )


def flux_of(document: Mapping[str, Any]) -> Flux:
    """What `Flux.document` kept."""
    return Flux(
        **{
            **document,
            "layers": tuple(Applied(**each) for each in document["layers"]),
            "releases": tuple(Applied(**each) for each in document["releases"]),
            "held": tuple(Held(**{**each, "keys": tuple(each["keys"])}) for each in document["held"]),
            "pruned": tuple(document["pruned"]),
        }
    )
