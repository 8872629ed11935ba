"""Publishing an instance's tree: once a run, beside whatever else is done."""

import threading
from dataclasses import dataclass, field

from zave.errors import PreconditionError
from zave.gitops.tree import GitOpsTree
from zave.ports.flux import Repository, Source


@dataclass
class Publication:
    """The tree of one instance on its way into the repository. `why` goes into the commit's message.

    Without a `repository` nothing can be published; what only looks at the tree, or takes down, works.
    """

    tree: GitOpsTree
    repository: Repository | None
    why: str
    _source: Source | None = None
    _once: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def digest(self) -> str:
        """Covers the rendered tree, and what is published beside it."""
        beside = self.repository.beside(instance=self.tree.instance) if self.repository is not None else ""
        return f"{self.tree.digest}-{beside[:16]}" if beside else self.tree.digest

    def make(self) -> Source:
        """Write the tree and publish it, once a run. Raises as `Repository.publish` does."""
        with self._once:
            if self._source is None:
                self.tree.write()
                if self.repository is None:
                    raise PreconditionError(
                        "no repository is at hand for the GitOps tree",
                        where="gitops.repository",
                        resolution="name one, or set `gitops: {profile: none}` for a cluster without Flux",
                    )
                self._source = self.repository.publish(
                    tree=self.tree.path, instance=self.tree.instance, names=self.tree.names, why=self.why
                )
            return self._source
