"""What the steps of one instance share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.ports import Clock, Cluster, Hypervisor, ImageBuilder, Inventory
from zave.ports.cloud import Cloud, Programs
from zave.ports.flux import Flux, Repository
from zave.ports.machines import Machines, Releases
from zave.project import Project
from zave.state.directory import InstanceFolder
from zave.state.store import StateStore

if TYPE_CHECKING:
    from zave.aws.findings import AccountFacts
    from zave.tools.terraform_factory import BoundTerraform


def by_name(_type: str, values: Mapping[str, Any]) -> str | None:
    """Identify an object by its `name` argument: how libvirt does it."""
    name = values.get("name")
    return name if isinstance(name, str) else None


@dataclass(frozen=True)
class Tools:
    """The adapters that `cli/context.py` chose.

    `inventory` is the platform's own: a host's, a cloud's. `identify` tells by which name the
    inventory will show an object of a type with the given arguments, None when that is not known.
    `machines` and `releases` are a home lab's: AWS runs its machines and pins EKS itself. `flux` and
    `repository` are there wherever a cluster can be handed to Flux. `facts` are a cloud account's.
    `programs` packs what a cloud's destroyer runs; None where its machines have zave already.
    """

    terraform: "BoundTerraform"
    inventory: Inventory
    hypervisor: Hypervisor | None
    images: ImageBuilder
    cluster: Cluster
    clock: Clock
    cloud: Cloud | None = None
    identify: Callable[[str, Mapping[str, Any]], str | None] = by_name
    machines: Machines | None = None
    releases: Releases | None = None
    flux: Flux | None = None
    repository: Repository | None = None
    facts: "AccountFacts | None" = None
    programs: Programs | None = None


@dataclass(frozen=True)
class Site:
    """One instance's place: its name, folder and records, the project's files and the tools.

    `limits` are seconds of the world's time by what is waited for (`nodes`, `gitops`).
    `state_folder` is where Terraform's state is kept; `backend_override` is what replaces the
    rendered backend there, if anything does. `ttl` is in seconds, None for the spec's default.
    `label_rehearsal` is a label for documents, never a reason to do something else.
    """

    instance: str
    folder: InstanceFolder
    project: Project
    store: StateStore
    tools: Tools
    limits: Mapping[str, float]
    state_folder: Path
    environment: str
    label_rehearsal: bool
    backend_override: str | None = None
    ttl: float | None = None
