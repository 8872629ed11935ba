"""Taking a cluster back from Flux before Terraform destroys it.

Suspend everything, or what is deleted comes back. Delete what holds something outside the cluster, and wait
until it is gone there as well. Then the Kustomizations, one by one, the last layer first: a controller must
not go before what it cleans up after. Every part looks at the cluster and not at a record, so a teardown that
was cut off goes on with what is still there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from zave.clock import Clock
from zave.errors import StuckError, ToolMissingError, UnreachableError
from zave.gitops.watch import Watch, named
from zave.ports import Item
from zave.ports.flux import Flux, Holder

T = TypeVar("T")
Outside = Callable[[], Sequence[Item]]
"""What the platform still shows of what the cluster made outside of itself."""

ORDER = ("suspend", "holders", "layers")
"""The parts of a teardown; any other order leaves something behind."""

# the machines that these stand for may run the controllers that all the others want
_MACHINES = ("NodePool", "NodeClaim")
_CLAIM = "PersistentVolumeClaim"
# seconds between looks: short at first, then growing with the wait
_SHORTEST, _LONGEST = 3.0, 30.0
_AGAIN = 10.0
_MOST_NAMED = 10


@dataclass(frozen=True)
class Patience:
    """How long something may take, in seconds of the world's time.

    A load balancer of AWS goes in up to 5 minutes, a machine of Karpenter's is drained first (`aws.md` of
    2026-11-23, section 3). `presence` and `silence` are for an API that does not answer: before anything
    was asked of it, and after.
    """

    holders: float = 900.0
    outside: float = 300.0
    layer: float = 300.0
    presence: float = 20.0
    silence: float = 120.0


@dataclass
class Teardown:
    """Takes the cluster of one instance back. `force` takes finalizers away that nobody releases.

    Where there is no cluster, its API does not answer, or the program that asks it is missing, that is
    told, and what it made is left to whoever sweeps. Raises StuckError at the first object that does not go.
    """

    flux: Flux
    instance: str
    outside: Outside
    clock: Clock
    watch: Watch
    force: bool = False
    patience: Patience = field(default_factory=Patience)
    _said: str = field(default="", init=False)

    def run(self) -> None:
        """All parts, in order. Safe to repeat."""
        try:
            presence = self._presence()
        except ToolMissingError as error:
            # a teardown must not wait for somebody to install a program
            self._leave_to_the_sweep(f"cannot be asked ({error.brief})")
            return
        if presence == "absent":
            self.watch.say(f"{self.instance} has no cluster: nothing to take back from Flux", None)
            return
        if presence == "silent":
            self._leave_to_the_sweep("does not answer")
            return
        parts = {"suspend": self._suspend, "holders": self._holders, "layers": self._layers}
        try:
            for name in ORDER:
                if presence == "flux" or name == "holders":
                    parts[name]()
        except UnreachableError as error:
            self._leave_to_the_sweep(f"has stopped answering ({error.brief})")

    # the parts

    def _suspend(self) -> None:
        self.watch.say("suspending Flux, so that nothing that is deleted comes back", None)
        self._ask(lambda: self.flux.suspend(instance=self.instance))

    def _holders(self) -> None:
        for machines in (False, True):

            def look(machines: bool = machines) -> list[Holder]:
                there = self._ask(lambda: self.flux.holders(instance=self.instance))
                return [each for each in there if (each.kind in _MACHINES) is machines]

            self._delete(look, patience=self.patience.holders)
        self._wait_outside()

    def _layers(self) -> None:
        for layer in last_first(self._ask(lambda: self.flux.layers(instance=self.instance))):
            identity = (layer.namespace, layer.name)

            def look(identity: tuple[str, str] = identity) -> list[Holder]:
                there = self._ask(lambda: self.flux.layers(instance=self.instance))
                return [each for each in there if (each.namespace, each.name) == identity]

            self._delete(look, patience=self.patience.layer)

    # deleting and waiting

    def _delete(self, look: Callable[[], list[Holder]], *, patience: float) -> None:
        """Ask for the deletion of everything that `look` finds until it finds nothing."""
        going: dict[str, Holder] = {}
        started = self._now()
        while left := look():
            self.watch.check()
            self._tell_gone(going, left)
            for each in left:
                first = named(each) not in going
                if first:
                    self.watch.changed(each, "delete", "started")
                # a claim that somebody asked for already may still be mounted: its deletion frees it
                if not each.deleting or (first and each.kind == _CLAIM):
                    self._ask(lambda each=each: self.flux.delete(instance=self.instance, what=each))  # type: ignore[misc]
                going[named(each)] = each
            waited = self._now() - started
            if waited >= patience:
                self._stuck(left, waited=waited, look=look)
                break
            self._say_left(left)
            self._pause(waited)
        self._tell_gone(going, ())

    def _wait_outside(self) -> None:
        """Wait until the platform has let go too. What stays although nothing holds it, the sweep deletes."""
        started = self._now()
        while left := self.outside():
            self.watch.check()
            names = ", ".join(f"{each.type} {each.name}" for each in left[:_MOST_NAMED])
            waited = self._now() - started
            if waited >= self.patience.outside:
                self.watch.notice(
                    "warning",
                    f"nothing in the cluster holds it any more, and it still stands: {names}",
                    resolution="the sweep after Terraform deletes it, or tells that it cannot",
                )
                return
            self._say(f"waiting until it is gone outside the cluster: {names}")
            self._pause(waited)

    def _stuck(self, left: Sequence[Holder], *, waited: float, look: Callable[[], list[Holder]]) -> None:
        """Stop at what does not go, or take its finalizers away where that was asked for."""
        if not self.force:
            raise self._stuck_error(left, waited=waited)
        for each in left:
            self.watch.notice(
                "warning",
                f"took {_finalizers(each)} away from {named(each)}: what it held outside may stay behind",
                resolution=f"zave sweep {self.instance} shows what is left",
            )
            self._ask(lambda each=each: self.flux.release(instance=self.instance, what=each))  # type: ignore[misc]
        started = self._now()
        while left := look():
            if self._now() - started >= _LONGEST * 2:
                raise self._stuck_error(left, waited=waited)
            self.watch.check()
            self._pause(self._now() - started)

    def _stuck_error(self, left: Sequence[Holder], *, waited: float) -> StuckError:
        first = left[0]
        namespace = f" -n {first.namespace}" if first.namespace else ""
        others = [f"also: {named(each)} ({_finalizers(each)})" for each in left[1:_MOST_NAMED]]
        look = f"zave exec {self.instance} -- kubectl{namespace} describe {first.kind.lower()} {first.name}"
        return StuckError(
            f"{named(first)} does not go: after {waited:.0f} s nobody has released {_finalizers(first)}",
            details="\n".join([f"to look: {look}", *others]),
            where=f"the cluster of {self.instance}",
            resolution=f"zave down {self.instance} tries again; zave down {self.instance} --force takes its"
            " finalizers away, and what it holds outside the cluster may stay behind",
        )

    # the API

    def _presence(self) -> str:
        """Whether there is a cluster; one that is silent is asked again, it may just be starting."""
        started = self._now()
        while (presence := self.flux.presence(instance=self.instance)) == "silent":
            if self._now() - started >= self.patience.presence:
                break
            self.watch.check()
            self._say(f"the API of {self.instance} does not answer; asking again")
            self.clock.sleep(_AGAIN)
        return presence

    def _ask(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; an API that is away for a moment is waited for."""
        silent_since: float | None = None
        while True:
            try:
                return ask()
            except UnreachableError:
                silent_since = self._now() if silent_since is None else silent_since
                if self._now() - silent_since >= self.patience.silence:
                    raise
            self.watch.check()
            self._say(f"the API of {self.instance} does not answer; asking again")
            self.clock.sleep(_AGAIN)

    def _leave_to_the_sweep(self, what: str) -> None:
        self.watch.notice(
            "warning",
            f"the API of {self.instance} {what}: what its cluster made outside is deleted without its help,"
            " at the latest by the sweep",
        )

    # words and time

    def _tell_gone(self, going: dict[str, Holder], left: Sequence[Holder]) -> None:
        there = {named(each) for each in left}
        for name in [name for name in going if name not in there]:
            self.watch.changed(going.pop(name), "delete", "done")

    def _say_left(self, left: Sequence[Holder]) -> None:
        names = ", ".join(named(each) for each in left[:3])
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        self._say(f"waiting until it is gone: {names}{more}")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.watch.say(text, None)

    def _pause(self, waited: float) -> None:
        self.clock.sleep(min(max(_SHORTEST, waited / 2), _LONGEST))

    def _now(self) -> float:
        return self.clock.now().timestamp()


def last_first(layers: Sequence[Holder]) -> list[Holder]:
    """The order in which layers go: what depends on another goes before it."""
    return list(reversed(layers))


def _finalizers(what: Holder) -> str:
    if not what.finalizers:
        return "its finalizers"
    return f"finalizer{'s' if len(what.finalizers) > 1 else ''} {', '.join(what.finalizers)}"
