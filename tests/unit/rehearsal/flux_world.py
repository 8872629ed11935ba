"""A rehearsed Flux for tests: handed over, waited for, taken back."""

from collections.abc import Sequence
from pathlib import Path

from zave.events import Event
from zave.gitops.teardown import Teardown
from zave.gitops.watch import Watch
from zave.ports import Item
from zave.ports.flux import Source
from zave.rehearsal.flux import SimulatedFlux
from zave.rehearsal.world import World

NAMES = ("infrastructure-controllers", "infrastructure-configs", "platform", "apps")


def flux_in(world: World, tree: Path) -> SimulatedFlux:
    """Flux in `world`; the published tree lies in `tree`, of whatever instance it is."""
    return SimulatedFlux(world, tree=lambda _instance: tree)


def source_of(instance: str, names: Sequence[str] = NAMES, *, revision: str = "c0ffee") -> Source:
    return Source("/somewhere/repository.git", "main", f"clusters/{instance}", revision, tuple(names))


def hand_over(
    flux: SimulatedFlux, instance: str, names: Sequence[str] = NAMES, *, revision: str = "c0ffee"
) -> None:
    source = source_of(instance, names, revision=revision)
    flux.bootstrap(instance=instance, source=source, say=lambda _text, _fraction: None)


def settle(world: World, flux: SimulatedFlux, instance: str) -> None:
    """Let time pass until all is ready."""
    for _ in range(300):
        if all(each.ready for each in flux.reconciliations(instance=instance)):
            return
        world.clock.sleep(5)
    raise AssertionError(flux.reconciliations(instance=instance))


def take_back(
    world: World, flux: SimulatedFlux, instance: str, *, force: bool = False, told: list[Event] | None = None
) -> None:
    """Take the cluster back, as `down` does; nothing outside is looked at."""
    heard: list[Event] = [] if told is None else told
    watch = Watch(say=lambda _text, _fraction: None, emit=heard.append)

    def outside() -> Sequence[Item]:
        return ()

    Teardown(flux, instance, outside, world.clock, watch, force=force).run()
