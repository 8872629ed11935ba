"""k3s' own configuration on machines that run already: a seed is read at the first boot only."""

import hashlib
import re
from collections.abc import Mapping

from zave.k3s import guest
from zave.k3s.lab import Lab
from zave.ports.machines import Machine

REGISTRIES = "registries.yaml"
"""Where mirrors are named; not there without any."""

_SAYS_NOTHING = re.compile(r" *(#.*)?")


def differing(lab: Lab, machine: Machine, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the files that are not on the machine as `wanted` has them, comments aside.

    An old `registries.yaml` that is no longer wanted is one of them, unless zave never wrote it.
    """
    if not wanted:
        return ()
    names = [*wanted, *({REGISTRIES} - wanted.keys())]
    said = lab.order(machine, "looking at its configuration", guest.CONFIGURATION, *names)
    there = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    return tuple(name for name in names if _differs(there.get(name, "-"), wanted.get(name)))


def bring(lab: Lab, machine: Machine, wanted: Mapping[str, str]) -> None:
    """Put the files there that differ. k3s reads them at its next start.

    A former file stays beside the new one, as `NAME.former`.
    """
    for name in differing(lab, machine, wanted):
        text = wanted.get(name)
        what = f"bringing {name}"
        if text is None:
            lab.tell(machine, f"{name} is no longer wanted, and kept as {name}.former")
            lab.order(machine, what, guest.DROP_CONFIGURATION, name)
        else:
            lab.tell(machine, f"its {name} is brought up to date; the former one is {name}.former")
            lab.order(machine, what, guest.PUT_CONFIGURATION, name, input=text.encode())


def digest(text: str) -> str:
    """The SHA-256 of what a file says, without comments and empty lines: as `guest.CONFIGURATION` has it."""
    lines = [line for line in text.splitlines() if not _SAYS_NOTHING.fullmatch(line)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _differs(there: str, text: str | None) -> bool:
    return there not in ("-", "foreign") if text is None else there != digest(text)
