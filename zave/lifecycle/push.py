"""Images into the registry of an instance: what is there is left, what is copied is read back.

No lock is held: a push changes nothing that a run records, and `down` need not wait for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from zave.errors import PreconditionError, StepFailedError
from zave.lifecycle.image_names import Shipment
from zave.ports.registry import Copier, Registry


@dataclass(frozen=True)
class Pushed:
    """What became of one image: it was copied now, or was there already with the same digest."""

    source: str
    target: str
    digest: str
    action: Literal["copied", "present"]


def push(
    wanted: Sequence[Shipment], *, registry: Registry, copier: Copier, say: Callable[[str], None]
) -> list[Pushed]:
    """Copy what is not there yet; all that can be refused is, before anything is copied.

    Raises PreconditionError for a tag that another image has, StepFailedError when the registry does
    not show what was sent.
    """
    _require_ours(wanted, registry.authorization().server)
    there = {name: registry.tags(name) for name in sorted({each.repository for each in wanted})}
    digests = [copier.digest(each.source) for each in wanted]
    _require_free(list(zip(wanted, digests, strict=True)), there)
    done = []
    for each, digest in zip(wanted, digests, strict=True):
        present = there[each.repository].get(each.tag) == digest
        if present:
            say(f"{each.target} is there already")
        else:
            say(f"copying {each.source} to {each.target}")
            copier.copy(each.source, each.target, say=say)
            _require_arrived(each, digest, copier.stored(each.target))
        done.append(Pushed(each.source, each.target, digest, "present" if present else "copied"))
    return done


def _require_ours(wanted: Sequence[Shipment], server: str) -> None:
    for each in wanted:
        host = each.target.partition("/")[0]
        if host != server:
            raise PreconditionError(
                f"the repository is in {host}, and the credentials are for {server}",
                resolution="use credentials of the instance's account, in its region",
            )


def _require_free(wanted: Sequence[tuple[Shipment, str]], there: Mapping[str, Mapping[str, str]]) -> None:
    taken = [
        f"{each.target} is {there[each.repository][each.tag]}; {each.source} is {digest}"
        for each, digest in wanted
        if there[each.repository].get(each.tag, digest) != digest
    ]
    if taken:
        raise PreconditionError(
            "a tag belongs to another image already; nothing was copied",
            details="\n".join(taken),
            resolution="a tag can be set once: push with another one, by --as REPOSITORY:TAG",
        )


def _require_arrived(each: Shipment, digest: str, stored: str) -> None:
    if stored != digest:
        raise StepFailedError(
            "the registry has another image than was sent",
            details=f"sent {digest}, found {stored or 'none'}",
            where=each.target,
            resolution="do not use it; push with another tag, by --as REPOSITORY:TAG",
        )
