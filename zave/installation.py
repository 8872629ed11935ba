"""How what an extra of zave's needs is installed beside this zave, wherever that came from."""

import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires
from typing import Literal

Extra = Literal["aws", "embedded", "libvirt"]


def pip_install(extra: Extra) -> str:
    """The command that installs what `extra` needs.

    By the packages' own names: zave itself is on no index, and whoever took its name there would be run.
    """
    try:
        declared = requires("zave") or ()
    except PackageNotFoundError:
        declared = ()
    wanted = packages_of(declared, extra)
    if not wanted:
        return f"pip install '.[{extra}]' in a clone of zave"
    return shlex.join([sys.executable, "-m", "pip", "install", *wanted])


def packages_of(declared: Sequence[str], extra: str) -> list[str]:
    """The requirements among `declared`, lines of `Requires-Dist`, that belong to `extra`."""
    parted = [line.partition(";") for line in declared]
    marks = {f"extra == '{extra}'", f'extra == "{extra}"'}
    return [requirement.strip() for requirement, _, marker in parted if marker.strip() in marks]
