"""Whether the nodes of a spec are large enough for its profile."""

from typing import TYPE_CHECKING

from zave.errors import PreconditionError

if TYPE_CHECKING:
    from zave.spec.libvirt import LibvirtSpec

# the quick start of Big Bang 3.30: 8 CPUs and 32 GB (its documentation, read 2026-11-23)
_BIGBANG_CORES = 8
_BIGBANG_BYTES = 32 * 10**9


def require_room(spec: "LibvirtSpec") -> None:
    """Raise PreconditionError, saying what is needed, when a home lab is too small for its profile.

    On AWS nothing is known beforehand: Karpenter adds machines as they are wanted.
    """
    if spec.gitops.profile != "bigbang":
        return
    first, worker = spec.nodes.control_plane, spec.nodes.worker
    cores = first.count * first.vcpu + worker.count * worker.vcpu
    memory = first.count * first.memory + worker.count * worker.memory
    if cores < _BIGBANG_CORES or memory < _BIGBANG_BYTES:
        raise PreconditionError(
            f"the nodes are too small for Big Bang: {cores} vCPU and {memory / 10**9:.1f} GB in all",
            where="nodes",
            details=f"it wants {_BIGBANG_CORES} vCPU and {_BIGBANG_BYTES // 10**9} GB at least",
            resolution="give the nodes more (three of 4 vCPU and 16GiB are what Big Bang advises), "
            "or set gitops.profile: slim",
        )
