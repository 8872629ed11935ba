"""Renders the GitOps tree of an instance: `clusters/<instance>/` points, the bases hold the objects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.project import Project
from zave.render import Renderer

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

GITOPS = "templates/gitops"

# the layers in the order in which they depend on one another: controllers before what they reconcile
_LAYERS: tuple[tuple[str, str], ...] = (
    ("infrastructure-controllers", "infrastructure/controllers"),
    ("infrastructure-configs", "infrastructure/configs"),
    ("platform", "platform/{profile}"),
    ("apps", "apps"),
)

# git@host:path, which Git understands and Flux does not
_SCP_FORM = re.compile(r"(?P<user>[^@/:]+)@(?P<host>[^:/]+):(?P<path>[^/].*)")


@dataclass(frozen=True)
class GitOpsTree:
    """A rendered tree: its folder, the names of its Kustomizations in dependency order, its digest."""

    path: Path
    names: tuple[str, ...]
    digest: str


def render_tree(
    project: Project, spec: "LibvirtSpec | AwsSpec", *, instance: str, destination: Path
) -> GitOpsTree:
    """Render the tree of `instance` into `destination`. Raises UsageError for a broken template."""
    renderer = Renderer(project)
    pointers = renderer.render_tree(
        f"{GITOPS}/cluster", destination / "clusters" / instance, _values(spec, instance)
    )
    bases = [
        renderer.render_tree(f"{GITOPS}/{base}", destination / base, {})
        for base in ("infrastructure", "platform", "apps")
    ]
    names = tuple(name for name, _ in _LAYERS)
    return GitOpsTree(destination, names, "-".join(tree.digest[:16] for tree in [pointers, *bases]))


def flux_url(repository: str) -> str:
    """`repository` as Flux wants it: `git@host:path` becomes `ssh://git@host/path`."""
    match = _SCP_FORM.fullmatch(repository)
    return f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else repository


def _values(spec: "LibvirtSpec | AwsSpec", instance: str) -> Mapping[str, Any]:
    url = flux_url(spec.gitops.repository)
    layers = [
        {
            "name": name,
            "path": f"./{path.format(profile=spec.gitops.profile)}",
            "after": [_LAYERS[index - 1][0]] if index else [],
        }
        for index, (name, path) in enumerate(_LAYERS)
    ]
    return {
        "instance": instance,
        "layers": layers,
        "branch": spec.gitops.branch,
        # `local`: the source is made at the bootstrap, from the repository beside the state
        "url": None if url == "local" else url,
        "private": url.startswith("ssh://"),
    }
