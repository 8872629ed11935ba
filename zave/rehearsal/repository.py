"""The repository of a rehearsal on a machine without Git: commits are digests, and nothing is kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zave.ports.flux import Source


@dataclass(frozen=True)
class SimulatedRepository:
    """Implements `zave.ports.flux.Repository` without Git. `branch` is the spec's."""

    branch: str

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> Source:
        """Tell what a commit of this tree would be called, always the same for the same tree."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path in sorted(each for each in tree.rglob("*") if each.is_file()):
            digest.update(f"{path.relative_to(tree)}\0".encode() + path.read_bytes() + b"\0")
        url = "no repository: there is no git on this machine (simulated)"
        return Source(url, self.branch, f"clusters/{instance}", digest.hexdigest(), tuple(names))

    def beside(self, *, instance: str) -> str:
        """Nothing: a rehearsal's cluster reads no secrets."""
        return ""
