"""Who looks at the world, and what that one's clock says: how a process was started decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from zave.rehearsal.fault_text import VERBS, Verb

CALLER_VARIABLE = "ZAVE_WORLD_CALLER"
SKEW_VARIABLE = "ZAVE_WORLD_SKEW"

# what happens to the user's credentials is nothing to the cloud's own role
_USERS_ONLY: tuple[Verb, ...] = ("expire",)


@dataclass(frozen=True)
class Viewpoint:
    """`caller` is the user, or the switch's destroyer with a role of its own; `skew` in seconds."""

    caller: Literal["user", "switch"] = "user"
    skew: float = 0.0

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """The viewpoint that the environment of a process gives it, as a cloud hands out credentials."""
        caller = environ.get(CALLER_VARIABLE)
        return cls(
            caller="switch" if caller == "switch" else "user", skew=float(environ.get(SKEW_VARIABLE) or 0)
        )

    @property
    def fault_verbs(self) -> tuple[Verb, ...]:
        """The faults that can strike this caller's calls of a platform."""
        return VERBS if self.caller == "user" else tuple(verb for verb in VERBS if verb not in _USERS_ONLY)
