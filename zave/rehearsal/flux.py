"""The rehearsed Flux: what a tree holds becomes ready over virtual time, and goes again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zave.errors import StepFailedError, UnreachableError
from zave.ports.flux import Holder, Presence, Reconciliation, Say, Source
from zave.rehearsal.durations import duration_of
from zave.rehearsal.flux_state import LAYER_FINALIZER, Applied, Attempt, Flux, Held, flux_of
from zave.rehearsal.flux_tree import Found, read_tree
from zave.rehearsal.ledger import Ledger
from zave.rehearsal.sites import Site, sites_of
from zave.rehearsal.things import Thing, WorldError
from zave.rehearsal.world import World

_KIND = "cluster"
_INJECTED = "an injected fault of this rehearsal"


class SimulatedFlux:
    """Implements `zave.ports.flux.Flux` over a world.

    `tree` is where the published tree of an instance lies. What controllers do as time passes is done
    when somebody looks: every method first brings the cluster up to the present moment.
    """

    def __init__(self, world: World, *, tree: Callable[[str], Path]) -> None:
        self._world = world
        self._tree = tree

    def presence(self, *, instance: str) -> Presence:
        """`absent` without a control plane, `silent` while it is off or a fault has it so."""
        found = self._find(instance)
        if found is None:
            return "absent"
        if self._is_silent(instance) or not found[0].answers(found[1]):
            return "silent"
        return "bare" if self._read(instance, found[1]) is None else "flux"

    def bootstrap(self, *, instance: str, source: Source, say: Say) -> None:
        """Wait for the API server, then have Flux reconcile what the tree holds."""
        tree = self._tree(instance)
        if not tree.is_dir():
            raise StepFailedError(
                "the rendered GitOps tree is not there",
                where=str(tree),
                resolution="run the same command again",
            )
        site, machine = self._control_plane(instance)
        clock = self._world.clock
        clock.sleep(site.joined_at(machine) - clock.timestamp())
        self._answering(instance, site, machine)
        say(f"simulated: Flux follows {source.url}, branch {source.branch}; nothing remote is asked", None)
        objects = read_tree(tree, path=source.path, layers=source.names)
        surge = self._world.faults.take("scale", "cluster", instance, verbs=("surge",)).fault
        # together: nothing outside the cluster may exist that a teardown does not know of
        with self._world.transaction() as ledger:
            held = site.provide(
                ledger, machine, claims=_claims(objects), surge=int(surge.factor) if surge else 0
            )
            found = _kept(ledger.document(_KIND, instance), machine)
            flux = _handed_over(found, source, objects, machine=machine, now=ledger.now)
            ledger.put_document(_KIND, instance, replace(flux, held=tuple(held)).document())
            ledger.log("bootstrap", "cluster", instance, detail=", ".join(source.names))

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        """What there is, as it stands now; none before the bootstrap."""
        found = self._find(instance)
        if found is None:
            return []
        self._answering(instance, *found)
        flux = self._settled(instance, *found)
        if flux is None:
            return []
        changed, told = flux.reconciled(self._luck, now=self._world.clock.timestamp())
        if changed != flux:
            self._put(instance, flux, changed)
        return told

    def reason(self, *, instance: str, of: Reconciliation) -> str:
        """What the simulated events say: the message once more, and that it is simulated."""
        if of.kind == "HelmRelease":
            return f"events of HelmRelease {of.namespace}/{of.name} (simulated): Warning: {of.message}"
        return ""

    def suspend(self, *, instance: str) -> None:
        """Suspend everything, at once."""
        self._change(instance, lambda flux, _now: flux.suspended(), verb="suspend", name=instance)

    def holders(self, *, instance: str) -> Sequence[Holder]:
        """The gateway's Service, claims and Karpenter's objects, as far as they are there."""
        flux = self._flux(instance)
        return [] if flux is None else flux.holders()

    def layers(self, *, instance: str) -> Sequence[Holder]:
        """The Kustomizations, in the order in which they depend on one another."""
        flux = self._flux(instance)
        if flux is None:
            return []
        return [
            Holder(
                each.kind,
                each.name,
                each.namespace,
                deleting=each.gone_at is not None,
                finalizers=(LAYER_FINALIZER,),
            )
            for each in flux.layers
        ]

    def delete(self, *, instance: str, what: Holder) -> None:
        """Ask for its deletion; its controller needs time for it."""

        def deleted(flux: Flux, now: float) -> Flux:
            if what.kind == "Kustomization":
                return flux.without_layer(what.name, now=now)
            return flux.without((what.kind, what.namespace, what.name), now=now)

        self._change(instance, deleted, verb="ask", name=f"{what.kind}/{what.name}")

    def release(self, *, instance: str, what: Holder) -> None:
        """It is gone from the cluster; what it held stays where it is."""
        identity = (what.kind, what.namespace, what.name)

        def released(flux: Flux, _now: float) -> Flux:
            return replace(
                flux,
                held=tuple(each for each in flux.held if each.identity != identity),
                layers=tuple(
                    each for each in flux.layers if (each.kind, each.namespace, each.name) != identity
                ),
            )

        self._change(instance, released, verb="release", name=f"{what.kind}/{what.name}")

    # the control plane

    def _find(self, instance: str) -> tuple[Site, Thing] | None:
        for site in sites_of(self._world):
            machine = site.control_plane(instance)
            if machine is not None:
                return site, machine
        return None

    def _control_plane(self, instance: str) -> tuple[Site, Thing]:
        found = self._find(instance)
        if found is None:
            raise StepFailedError(
                f"no control plane of {instance} answers",
                where="the simulated world",
                resolution=f"zave up {instance} makes it again",
            )
        return found

    def _answering(self, instance: str, site: Site, machine: Thing) -> None:
        if self._is_silent(instance) or not site.answers(machine):
            raise UnreachableError(
                f"the API of {instance} does not answer",
                where="the simulated world",
                resolution=f"see what its control plane does: zave status {instance}",
            )

    def _is_silent(self, instance: str) -> bool:
        return self._world.faults.take("ask", "api", instance, verbs=("silent",)).fault is not None

    # what is kept

    def _read(self, instance: str, machine: Thing) -> Flux | None:
        return _kept(self._world.get_document(_KIND, instance), machine)

    def _flux(self, instance: str) -> Flux | None:
        """Flux at the present moment; None where there is no cluster, or none in it."""
        found = self._find(instance)
        if found is None:
            return None
        self._answering(instance, *found)
        return self._settled(instance, *found)

    def _change(self, instance: str, change: Callable[[Flux, float], Flux], *, verb: str, name: str) -> None:
        found = self._find(instance)
        if found is None:
            return
        self._answering(instance, *found)
        with self._world.transaction() as ledger:
            flux = _kept(ledger.document(_KIND, instance), found[1])
            if flux is None:
                return
            changed = change(flux, ledger.now)
            if changed != flux:
                ledger.put_document(_KIND, instance, changed.document())
                ledger.log(verb, "cluster", name)

    def _put(self, instance: str, before: Flux, after: Flux) -> None:
        """Keep what time has made of `before`, unless somebody changed it meanwhile: then that counts."""
        with self._world.transaction() as ledger:
            document = ledger.document(_KIND, instance)
            if document is None or flux_of(document) != before:
                return
            if after.layers or after.present():
                ledger.put_document(_KIND, instance, after.document())
            else:
                ledger.delete_document(_KIND, instance)
                ledger.log("teardown", "cluster", instance)

    # what controllers do

    def _settled(self, instance: str, site: Site, machine: Thing) -> Flux | None:
        """Let go of what was deleted and is due; make again what a layer wants and misses."""
        before = self._read(instance, machine)
        if before is None:
            return None
        now = self._world.clock.timestamp()
        held = tuple(self._let_go(each, before, site, machine, now=now) for each in before.held)
        layers = tuple(self._keep_layer(each, now=now) for each in before.layers)
        flux = replace(before, held=held, layers=layers).settled_layers(now=now)
        if any(_wanted_again(each, flux, now=now) for each in flux.held):
            flux = self._make_again(flux, site, machine)
        if flux != before:
            self._put(instance, before, flux)
        return flux

    def _let_go(self, held: Held, flux: Flux, site: Site, machine: Thing, *, now: float) -> Held:
        if held.gone_at is None or held.gone_at > now or held.controller in flux.pruned:
            return held
        later = replace(held, gone_at=now + duration_of("cluster.finalizer", "retry").typical)
        if self._is_kept(held.kind, held.name):
            return later
        try:
            # first: a look that is cut off here is repeated by the next
            site.let_go(machine, held)
        except WorldError as error:
            # its controller was refused, and keeps its finalizer until it is not
            self._world.note("refuse", held.kind.lower(), held.name, detail=error.summary)
            return later
        return replace(held, gone_at=None, absent_since=held.gone_at, keys=())

    def _keep_layer(self, layer: Applied, *, now: float) -> Applied:
        if layer.gone_at is None or layer.gone_at > now or not self._is_kept(layer.kind, layer.name):
            return layer
        return replace(layer, gone_at=now + duration_of("cluster.finalizer", "retry").typical)

    def _is_kept(self, kind: str, name: str) -> bool:
        """Whether a fault has a controller keep its finalizer."""
        struck = self._world.faults.take("release", kind.lower(), name, verbs=("keep",)).fault
        if struck is not None:
            self._world.note("fault", kind.lower(), name, detail=str(struck))
        return struck is not None

    def _make_again(self, flux: Flux, site: Site, machine: Thing) -> Flux:
        with self._world.transaction() as ledger:
            made = _provided(ledger, site, machine, flux)
        going = {each.identity: each for each in flux.held if each.absent_since is None}
        return replace(flux, held=tuple(going.get(each.identity, each) for each in made))

    def _luck(self, kind: str, name: str) -> Attempt:
        faults = self._world.faults
        failing = faults.take("reconcile", kind.lower(), name, verbs=("fail",)).fault
        if failing is not None:
            self._world.note("fault", kind.lower(), name, detail=str(failing))
            said = "Helm install failed" if kind == "HelmRelease" else "health check failed"
            return Attempt(failure=failing.message or f"{said} ({_INJECTED})")
        if kind != "HelmRelease":
            return Attempt()
        return Attempt(factor=faults.take("pull", "image", name, verbs=("slow",)).factor)


def _provided(ledger: Ledger, site: Site, machine: Thing, flux: Flux) -> Sequence[Held]:
    claims = [replace(each, absent_since=None) for each in flux.held if each.kind == "PersistentVolumeClaim"]
    return site.provide(ledger, machine, claims=claims, surge=0)


def _wanted_again(held: Held, flux: Flux, *, now: float) -> bool:
    """Whether the layer of something that is gone is there, at work, and has looked again since."""
    if held.absent_since is None or held.controller in flux.pruned:
        return False
    if now - held.absent_since < duration_of("cluster.kustomization", "interval").typical:
        return False
    return any(
        each.name == held.layer and not each.suspended and each.gone_at is None and each.ready(now)
        for each in flux.layers
    )


def _kept(document: Mapping[str, Any] | None, machine: Thing) -> Flux | None:
    """Flux as it was kept; None where there is none, also where the cluster was made anew since."""
    if document is None or document["machine"] != machine.key or "layers" not in document:
        return None
    return flux_of(document)


def _claims(objects: Sequence[Found]) -> list[Held]:
    found = [each for each in objects if each.kind == "PersistentVolumeClaim"]
    # here: a home lab's rehearsal needs none of AWS's
    from zave.rehearsal.aws_services import claim

    return [replace(claim(each.name), namespace=each.namespace, layer=each.layer) for each in found]


def _handed_over(
    found: Flux | None, source: Source, objects: Sequence[Found], *, machine: Thing, now: float
) -> Flux:
    """Flux after a bootstrap: what was there goes on, at once; another commit is applied anew."""
    there = () if found is None else (*found.layers, *found.releases)
    kept = {(each.kind, each.namespace, each.name): each for each in there}
    same = found is not None and found.revision == source.revision

    def resumed(new: Applied) -> Applied:
        each = kept.get((new.kind, new.namespace, new.name), new)
        anew = each.ready_at is None or (each.kind == "Kustomization" and not same)
        changes: dict[str, Any] = {"ready_at": None, "retry_at": now} if anew else {}
        return replace(each, suspended=False, gone_at=None, **changes)

    layers = [resumed(Applied("Kustomization", name)) for name in source.names]
    releases = [
        resumed(Applied(each.kind, each.name, each.namespace, each.layer))
        for each in objects
        if each.kind == "HelmRelease"
    ]
    since = found.since if found is not None and same else now
    return Flux(machine.key, since, source.revision, tuple(layers), tuple(releases))
