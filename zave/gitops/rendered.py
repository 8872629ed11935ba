"""Environments as they are in the project now: rendered into a folder of a moment, built, compared."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from zave.errors import UsageError
from zave.gitops.declared import PARITY_FILE, read_declarations
from zave.gitops.kustomize import Kustomize, build_tree
from zave.gitops.parity import Parity, Side, compare_sides
from zave.gitops.tree import GitOpsTree, tree_of
from zave.project import Project

if TYPE_CHECKING:
    from zave.spec.aws import AwsSpec
    from zave.spec.libvirt import LibvirtSpec

    Environment = tuple[str, AwsSpec | LibvirtSpec]

# the tags of an instance that is none: they have to be there, and what they say is not compared
_TAGS = ("zave:instance", "zave:environment", "zave:owner", "zave:creation")


def compare_environments(
    project: Project,
    left: "Environment",
    right: "Environment",
    *,
    kustomize: Kustomize,
    repository: Path | None = None,
) -> Parity:
    """Compare two environments (name and spec) as instances of their own names.

    Their trees are rendered from the project, or taken as they are in the work tree `repository`.
    Raises SpecError for declarations that cannot be read, UsageError for a tree that is not there or
    cannot be rendered, ToolFailedError for one that kustomize refuses.
    """
    for name, spec in (left, right):
        if spec.gitops.profile == "none":
            raise UsageError(
                f"{name} has no tree: its gitops.profile is none",
                resolution="compare environments with the profile slim or bigbang",
            )
    file = project.path(PARITY_FILE)
    platforms = [spec.platform for _, spec in (left, right)]
    declarations = read_declarations(file.read_bytes(), where=str(file), platforms=platforms)
    with tempfile.TemporaryDirectory(prefix="zave-parity-") as scratch, ThreadPoolExecutor(2) as pool:
        places = [repository or _render(project, each, Path(scratch, each[0])) for each in (left, right)]
        built = pool.map(
            lambda each, place: build_tree(place, instance=each[0], kustomize=kustomize),
            (left, right),
            places,
        )
        here, there = built
    return compare_sides(Side(left[0], platforms[0], here), Side(right[0], platforms[1], there), declarations)


def digest_of_trees(project: Project, *environments: "Environment") -> str:
    """Covers everything that the trees of these environments are made of; takes no rendering."""
    return " ".join(_tree(project, each, Path(each[0])).digest for each in environments)


def _render(project: Project, environment: "Environment", place: Path) -> Path:
    _tree(project, environment, place).write()
    return place


def _tree(project: Project, environment: "Environment", place: Path) -> GitOpsTree:
    name, spec = environment
    return tree_of(project, spec, instance=name, destination=place, tags=dict.fromkeys(_TAGS, "parity"))
