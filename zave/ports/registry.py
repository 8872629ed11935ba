"""The ports of container images: the registry of an instance, and who copies images into it.

Implemented by `zave/aws/live/registry.py` and `zave/tools/skopeo.py`, simulated by
`zave/rehearsal/registry.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Authorization:
    """What lets somebody write to the registry `server` (a host) for some hours. Never to be shown."""

    server: str
    user: str
    password: str = field(repr=False)


class Registry(Protocol):
    """The registry of one account in one region, as its owner sees it."""

    def authorization(self) -> Authorization:
        """The right to write to it. Raises PreconditionError without usable credentials."""
        ...

    def tags(self, repository: str) -> Mapping[str, str]:
        """Tag -> digest of everything in a repository. Raises PreconditionError when it is not there."""
        ...


class Copier(Protocol):
    """Copies images whole: every platform of them, with the digests that they have.

    A source is named as skopeo does: `docker://HOST/PATH:TAG`, `docker-archive:FILE`, `oci-archive:FILE`.
    A target is `HOST/PATH:TAG`. Every verb raises ToolFailedError when it cannot be done.
    """

    def digest(self, source: str) -> str:
        """The digest (`sha256:...`) under which a copy of `source` will be stored."""
        ...

    def copy(self, source: str, target: str, *, say: Callable[[str], None]) -> None:
        """Copy; `say` is told of progress. That it ended says nothing: `stored` does."""
        ...

    def stored(self, target: str) -> str:
        """The digest that the registry has under `target` now."""
        ...
