"""Flux in one cluster, and the repository that it follows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Say = Callable[[str, float | None], None]
"""Tells people what happens now, and how far it is (0 to 1) where that is known."""

Presence = Literal["absent", "silent", "bare", "flux"]
"""No cluster at all; one whose API does not answer; one without Flux; one with it."""


@dataclass(frozen=True)
class Source:
    """What Flux follows: a branch of a Git repository, and the folder in it that is the cluster's.

    `revision` is the commit that was published last: what is ready must be ready at this one. `names`
    are the tree's Kustomizations in the order in which they depend on one another.
    """

    url: str
    branch: str
    path: str
    revision: str
    names: tuple[str, ...]


class Repository(Protocol):
    """The user's platform repository, where the tree of an instance is published."""

    def publish(self, *, tree: Path, instance: str, names: Sequence[str], why: str) -> Source:
        """Commit what `tree` holds for `instance` and push it; nothing to commit is fine.

        `why` goes into the commit's message. Raises PreconditionError where the branch has diverged,
        where a file that zave wrote was changed by others since, or where the tree holds a secret in
        plain text; StepFailedError where the repository cannot be reached. Never forces a push.
        """
        ...

    def beside(self, *, instance: str) -> str:
        """A digest of what is published beside the tree, encrypted secrets; empty where nothing is."""
        ...


@dataclass(frozen=True)
class Reconciliation:
    """A Flux object as it stands: kind (`Kustomization`, `HelmRelease`), name, readiness, message.

    `stalled`: Flux does not try again by itself. `revision` is the commit that it was applied from,
    empty where it names none.
    """

    kind: str
    name: str
    ready: bool
    message: str
    namespace: str = "flux-system"
    suspended: bool = False
    stalled: bool = False
    revision: str = ""


@dataclass(frozen=True)
class Holder:
    """An object in the cluster that holds something a teardown must see gone.

    A Service of type LoadBalancer, a PersistentVolumeClaim, Karpenter's NodePools and NodeClaims, or
    one of Flux's Kustomizations. `namespace` is empty for what has none. `deleting` once its deletion
    was asked for; `finalizers` are then what it still waits for.
    """

    kind: str
    name: str
    namespace: str = ""
    deleting: bool = False
    finalizers: tuple[str, ...] = ()


class Flux(Protocol):
    """Flux, and what its teardown has to see, in the cluster of one instance.

    Each method may be called again after a crash. Raises StepFailedError where the API refuses, and
    `zave.errors.UnreachableError` where it does not answer.
    """

    def presence(self, *, instance: str) -> Presence:
        """How much of a cluster with Flux there is; never raises for one that is gone or silent."""
        ...

    def bootstrap(self, *, instance: str, source: Source, say: Say) -> None:
        """Install Flux, point it to `source` and have it reconcile now; does not wait for what it applies.

        Safe to repeat: what was suspended (a teardown that was given up) goes on, what had stalled is
        tried again. Raises StepFailedError when the cluster is not there.
        """
        ...

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        """Every Kustomization and HelmRelease; none where there is no Flux."""
        ...

    def reason(self, *, instance: str, of: Reconciliation) -> str:
        """Why `of` is not ready, beyond its own message: events, a pod's last words. May be empty."""
        ...

    def suspend(self, *, instance: str) -> None:
        """Suspend every Kustomization and HelmRelease, so that nothing deleted comes back.

        Stops as well whoever else would make it again, such as Argo CD's application controller. Without
        Flux there is nothing to suspend.
        """
        ...

    def holders(self, *, instance: str) -> Sequence[Holder]:
        """What owns something outside the cluster: Services, claims, Karpenter's objects."""
        ...

    def layers(self, *, instance: str) -> Sequence[Holder]:
        """Flux's Kustomizations, each after those that it depends on; the bootstrap's own is the first."""
        ...

    def delete(self, *, instance: str, what: Holder) -> None:
        """Ask for its deletion; does not wait. Gone already is fine, being deleted already as well.

        What keeps using a claim (the workloads whose pods mount it) is deleted with it: it would never go.
        """
        ...

    def release(self, *, instance: str, what: Holder) -> None:
        """Take the finalizers away, so that a deletion that was asked for ends. Gone already is fine."""
        ...
