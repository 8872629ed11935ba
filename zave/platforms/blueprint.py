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
    """The ordered steps of one instance, its Terraform root, and that root's variables.

    `variables` takes the outputs of earlier steps, as far as there are any yet.
    """

    steps: Sequence[Step]
    root: RootTemplate
    variables: Callable[[Mapping[str, Mapping[str, Any]]], dict[str, Any]]


def cluster_steps(site: Site, tree: GitOpsTree, *, expected: Sequence[str] | int) -> list[Step]:
    """The steps that are the same on every platform, once there is a cluster.

    `expected` are the nodes that must become Ready: their names, or how many where the cloud names them.
    """
    cluster, clock, instance = site.tools.cluster, site.tools.clock, site.instance
    return [
        Kubeconfig(cluster=cluster, instance=instance, path=site.folder.kubeconfig),
        GitOps(cluster=cluster, clock=clock, instance=instance, tree=tree, limit=site.limits["gitops"]),
        Verify(
            cluster=cluster,
            clock=clock,
            instance=instance,
            expected=expected,
            limit=site.limits["nodes"],
        ),
    ]
