"""The GitOps tree of an instance: `clusters/<instance>/` points, the bases hold the objects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zave.gitops.pieces import LAYERS, layers, variables
from zave.project import Project
from zave.render import Renderer

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

GITOPS = "templates/gitops"

_BASES = ("infrastructure", "platform", "apps")

# git@host:path, which Git understands and Flux does not
_SCP_FORM = re.compile(r"(?P<user>[^@/:]+)@(?P<host>[^:/]+):(?P<path>[^/].*)")


@dataclass(frozen=True)
class GitOpsTree:
    """The tree of one instance: where it is written, and what with."""

    project: Project
    instance: str
    path: Path
    values: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Its Kustomizations in the order in which they depend on one another."""
        return LAYERS

    @cached_property
    def digest(self) -> str:
        """Covers everything that the tree is made of; takes no rendering."""
        renderer = Renderer(self.project)
        digests = [renderer.digest_of(source, values) for source, _, values in self._parts()]
        return "-".join(each[:16] for each in digests)

    def write(self) -> None:
        """Render it to its path; what is there unchanged is left. Raises UsageError for a broken template."""
        renderer = Renderer(self.project)
        for source, place, values in self._parts():
            renderer.render_tree(source, self.path / place, values)

    def _parts(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """(template folder, place in the tree, values): what points first, then what it points to."""
        pointers = (f"{GITOPS}/cluster", f"clusters/{self.instance}", self.values)
        return [pointers, *((f"{GITOPS}/{base}", base, {}) for base in _BASES)]


def tree_of(
    project: Project,
    spec: "LibvirtSpec | AwsSpec",
    *,
    instance: str,
    destination: Path,
    tags: Mapping[str, str] | None = None,
) -> GitOpsTree:
    """The tree that the spec wants for `instance`, to be written to `destination`.

    `tags` are those of everything that the instance owns on AWS; machines that Karpenter adds carry them.
    """
    return GitOpsTree(project, instance, destination, _values(spec, instance, tags or {}))


def flux_url(repository: str) -> str:
    """`repository` as Flux wants it: `git@host:path` becomes `ssh://git@host/path`."""
    match = _SCP_FORM.fullmatch(repository)
    return f"ssh://{match['user']}@{match['host']}/{match['path']}" if match else repository


def _values(spec: "LibvirtSpec | AwsSpec", instance: str, tags: Mapping[str, str]) -> Mapping[str, Any]:
    url = flux_url(spec.gitops.repository)
    pieces = layers(spec)
    chain = [
        {
            "name": name,
            "after": [LAYERS[index - 1]] if index else [],
            # whether Argo CD has applications in it
            "applications": "apps/podinfo" in pieces[name],
        }
        for index, name in enumerate(LAYERS)
    ]
    return {
        "instance": instance,
        "layers": chain,
        "pieces": {name: list(folders) for name, folders in pieces.items()},
        "variables": variables(spec, instance=instance, tags=tags),
        "branch": spec.gitops.branch,
        # `local`: the source is made at the bootstrap, from the repository beside the state
        "url": None if url == "local" else url,
    }
