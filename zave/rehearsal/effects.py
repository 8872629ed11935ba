"""What a rehearsed platform does by itself when a thing is made, changed or deleted.

The world asks the effects of the thing's provider; a platform that does nothing by itself has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from zave.rehearsal.ledger import Ledger
from zave.rehearsal.things import Draft, Thing


@dataclass(frozen=True)
class Block:
    """Why a thing cannot be deleted now.

    `patience`: virtual seconds for which Terraform's provider tries again; whoever asks the platform
    itself is told at once.
    """

    summary: str
    detail: str = ""
    patience: float = 0.0


class Effects(Protocol):
    """One platform's own doings. Every method but `leavings` works inside the cause's transaction."""

    def wanted(self, draft: Draft) -> str:
        """What may run short for `draft` (`spot`), for faults; empty when nothing could."""
        ...

    def made(self, ledger: Ledger, thing: Thing) -> None:
        """`thing` has been put into the world: what comes with it."""
        ...

    def changed(self, ledger: Ledger, thing: Thing) -> None:
        """`thing` has new attributes: what follows."""
        ...

    def blocked(self, ledger: Ledger, thing: Thing, *, force: bool) -> Block | None:
        """Why `thing` cannot be deleted now; with `force` its content is no reason."""
        ...

    def instead(self, ledger: Ledger, thing: Thing) -> Mapping[str, Any] | None:
        """The attributes of `thing` after its deletion where the platform keeps it for a while."""
        ...

    def leavings(self, thing: Thing) -> tuple[str, ...]:
        """What faults may have the platform leave behind when `thing` goes (`leave interface`)."""
        ...

    def gone(self, ledger: Ledger, thing: Thing, *, left: frozenset[str]) -> None:
        """`thing` is no longer there: what goes with it, what is `left`, what comes back."""
        ...


def effects_of(provider: str) -> Effects | None:
    """The effects of a provider's platform."""
    if provider != "aws":
        return None
    from zave.rehearsal.aws_effects import AwsEffects

    return AwsEffects()
