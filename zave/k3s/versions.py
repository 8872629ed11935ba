"""Releases of k3s in order: which comes after which, and which steps between them are allowed."""

import re
from typing import NamedTuple

from zave.errors import PreconditionError

_RELEASE = re.compile(r"v([0-9]{1,2})\.([0-9]{1,3})\.([0-9]{1,3})(?:-[a-z0-9.]{1,40})?\+k3s([0-9]{1,2})")


class Version(NamedTuple):
    """A release such as `v1.35.9+k3s1`, comparable."""

    major: int
    minor: int
    patch: int
    build: int

    @classmethod
    def of(cls, release: str) -> "Version | None":
        """The parts of `release`; None for anything that is not a whole release."""
        matched = _RELEASE.fullmatch(release)
        return None if matched is None else cls(*(int(number) for number in matched.groups()))


def is_release(text: str) -> bool:
    """Whether `text` is a whole release rather than a channel."""
    return Version.of(text) is not None


def belongs_to(release: str, channel: str) -> bool:
    """Whether `release` is one of `channel`, which is a minor version such as `v1.35`."""
    return is_release(release) and release.startswith(f"{channel}.")


def check_step(present: str, wanted: str, *, machine: str) -> None:
    """Raise PreconditionError unless k3s may go from `present` to `wanted` in one step.

    Never back: the datastore may have been changed for good. No minor version is left out: neither
    Kubernetes (version skew policy) nor k3s (documentation, "Upgrades") supports it.
    """
    before, after = Version.of(present), Version.of(wanted)
    if before is None or after is None:
        unknown = present if before is None else wanted
        raise PreconditionError(
            f"{unknown!r} is not a release of k3s",
            where=machine,
            resolution="look at `k3s --version` on the machine; zave goes on from a release of k3s only",
        )
    if after < before:
        raise PreconditionError(
            f"{machine} runs k3s {present}, and {wanted} is older",
            where="kubernetes.version",
            details="an older release may not understand what a newer one has written",
            resolution=f"set kubernetes.version to {present} or newer, or `zave down` and begin anew",
        )
    if after.major != before.major or after.minor > before.minor + 1:
        nearest = f"v{before.major}.{before.minor + 1}"
        raise PreconditionError(
            f"{machine} runs k3s {present}: {wanted} would leave out a minor version",
            where="kubernetes.version",
            details="Kubernetes supports upgrades by one minor version at a time",
            resolution=f"set kubernetes.version to {nearest} first, `zave up`, then go on in the same way",
        )
