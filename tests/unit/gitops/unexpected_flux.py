"""A Flux that nobody is to call: a test's own takes the calls that it is about, any other fails the test."""

from collections.abc import Sequence
from typing import NoReturn

from zave.ports.flux import Holder, Presence, Reconciliation, Say, Source


class UnexpectedFlux:
    """Implements `zave.ports.flux.Flux`."""

    def presence(self, *, instance: str) -> Presence:
        _fail("presence", instance)

    def bootstrap(self, *, instance: str, source: Source, say: Say) -> None:
        _fail("bootstrap", instance, source)

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        _fail("reconciliations", instance)

    def reason(self, *, instance: str, of: Reconciliation) -> str:
        _fail("reason", instance, of)

    def suspend(self, *, instance: str) -> None:
        _fail("suspend", instance)

    def holders(self, *, instance: str) -> Sequence[Holder]:
        _fail("holders", instance)

    def layers(self, *, instance: str) -> Sequence[Holder]:
        _fail("layers", instance)

    def delete(self, *, instance: str, what: Holder) -> None:
        _fail("delete", instance, what)

    def release(self, *, instance: str, what: Holder) -> None:
        _fail("release", instance, what)


def _fail(call: str, *told: object) -> NoReturn:
    raise AssertionError(f"nobody expected Flux.{call}({', '.join(map(repr, told))})")
