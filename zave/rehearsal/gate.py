"""The way to the rehearsed AWS APIs, which faults can close."""

from zave.errors import PreconditionError
from zave.rehearsal.fault_text import Verb
from zave.rehearsal.refusals import EXPIRED, UNREACHABLE
from zave.rehearsal.world import World

_CLOSING: tuple[Verb, ...] = ("expire", "region")


class Gate:
    """Asked before each call of an API that an adapter makes; Terraform's own calls pass the world's."""

    def __init__(self, world: World, *, region: str) -> None:
        self._world = world
        self._region = region

    def ask(self, service: str, call: str) -> None:
        """Pass, or raise PreconditionError: without credentials or region nothing can be believed."""
        verbs = tuple(verb for verb in _CLOSING if verb in self._world.viewpoint.fault_verbs)
        struck = self._world.faults.take("call", f"aws_{service}", call, verbs=verbs).fault
        if struck is None:
            return
        self._world.note("fault", f"aws_{service}", call, detail=str(struck))
        if struck.verb == "expire":
            raise PreconditionError(
                "the AWS credentials have expired",
                details=f"{service}:{call}: {EXPIRED}",
                resolution="renew them, then run the same command again; it goes on where it stopped",
            )
        raise PreconditionError(
            f"the AWS region {self._region} cannot be reached",
            details=f"{service}:{call}: {UNREACHABLE}",
            resolution="look at the network and at the region's health, then run the same command again",
        )
