"""What a platform makes of a spec."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zave.engine.step import Step
from zave.gitops.tree import GitOpsTree
from zave.steps.gitops import GitOps
from zave.steps.kubeconfig import Kubeconfig
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


def cluster_steps(
    site: Site, tree: GitOpsTree | None, *, expected: Sequence[str] | int, after: str = "infra"
) -> list[Step]:
    """The steps that are the same on every platform, once there is a cluster.

    `tree` is None where nothing is handed to Flux. `expected` are the nodes that must become Ready:
    their names, or how many where the cloud names them. `after` is the step with which the API answers.
    """
    cluster, clock, instance = site.tools.cluster, site.tools.clock, site.instance
    steps: list[Step] = [
        Kubeconfig(cluster=cluster, instance=instance, path=site.folder.kubeconfig, after=after)
    ]
    if tree is not None:
        limit = site.limits["gitops"]
        steps.append(GitOps(cluster=cluster, clock=clock, instance=instance, tree=tree, limit=limit))
    verify = Verify(
        cluster=cluster,
        clock=clock,
        instance=instance,
        expected=expected,
        limit=site.limits["nodes"],
        needs=tuple(step.name for step in steps),
    )
    return [*steps, verify]
