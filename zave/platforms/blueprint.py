"""What a platform makes of a spec."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.engine.step import Step
from zave.gitops.publication import Publication
from zave.gitops.teardown import Outside
from zave.gitops.tree import GitOpsTree
from zave.ports import Item
from zave.steps.gitops import GitOps
from zave.steps.kubeconfig import MERGED, Kubeconfig
from zave.steps.render import RootTemplate
from zave.steps.site import Site
from zave.steps.verify import Verify


@dataclass(frozen=True)
class Blueprint:
    """The ordered steps of one instance, its Terraform root and that root's variables, its GitOps tree.

    `variables` takes the outputs of earlier steps, as far as there are any yet.
    """

    steps: Sequence[Step]
    root: RootTemplate
    variables: Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any]]
    tree: GitOpsTree | None


def publication_of(site: Site, tree: GitOpsTree) -> Publication:
    """How an instance's tree gets into its repository."""
    why = f"{site.instance}: the tree that environment {site.environment} wants"
    return Publication(tree, site.tools.repository, why)


def nothing_outside() -> Sequence[Item]:
    """What a cluster makes outside of itself where there is nothing that it could make."""
    return ()


def cluster_steps(
    site: Site,
    publication: Publication | None,
    *,
    expected: Sequence[str] | int,
    after: str = "infra",
    outside: Outside = nothing_outside,
) -> list[Step]:
    """The steps that are the same on every platform, once there is a cluster.

    `publication` is None where nothing is handed to Flux. `expected` are the nodes that must become
    Ready: their names, or how many where the cloud names them. `after` is the step with which the API
    answers. `outside` shows what the cluster made.
    """
    cluster, clock, instance = site.tools.cluster, site.tools.clock, site.instance
    steps: list[Step] = [
        Kubeconfig(
            cluster=cluster,
            clock=clock,
            instance=instance,
            path=site.folder.kubeconfig,
            after=after,
            merged=lambda: site.store.fact(instance, MERGED),
        )
    ]
    if publication is not None:
        limit = site.limits["gitops"]
        steps.append(GitOps(site.tools.flux, publication, outside, clock, limit))
    verify = Verify(
        cluster=cluster,
        clock=clock,
        instance=instance,
        expected=expected,
        limit=site.limits["nodes"],
        needs=tuple(step.name for step in steps),
    )
    return [*steps, verify]
