"""Step `gitops`: hand the cluster to Flux with the instance's tree, and wait until it agrees."""

from collections.abc import Mapping
from typing import Any

from zave.engine.execute import wait_until
from zave.engine.step import Probe, StepRun
from zave.gitops.tree import GitOpsTree
from zave.ports import Clock, Cluster


class GitOps:
    """Bootstraps Flux; from then on Git decides."""

    name = "gitops"
    needs = ("kubeconfig",)

    def __init__(
        self, *, cluster: Cluster, clock: Clock, instance: str, tree: GitOpsTree, limit: float
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._instance = instance
        self._tree = tree
        self._limit = limit

    def fingerprint(self) -> str:
        """Covers the whole rendered tree."""
        return self._tree.digest

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Every Kustomization is there and ready."""
        missing = self._missing()
        return Probe(missing is None, missing or "")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Bootstrap and wait for every Kustomization."""
        # again: the tree may have been written by an earlier run, and its folder emptied since
        self._tree.write()
        run.say(f"handing the cluster to Flux ({len(self._tree.names)} Kustomizations)")
        self._cluster.bootstrap(instance=self._instance, tree=self._tree.path, names=self._tree.names)
        wait_until(self._missing, run=run, clock=self._clock, limit=self._limit)
        return {"kustomizations": list(self._tree.names), "digest": self._tree.digest}

    def undo(self, run: StepRun) -> None:
        """Take Flux and what it owns outside the cluster away, before Terraform destroys."""
        self._cluster.teardown(instance=self._instance)

    def _missing(self) -> str | None:
        states = {r.name: r for r in self._cluster.reconciliations(instance=self._instance)}
        for name in self._tree.names:
            state = states.get(name)
            if state is None:
                return f"Kustomization {name} is not there"
            if not state.ready:
                return f"Kustomization {name}: {state.message}"
        return None
