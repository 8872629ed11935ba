"""Step `verify`: the cluster answers, all its nodes are Ready."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.engine.execute import wait_until
from zave.engine.step import Probe, StepRun, digest
from zave.ports import Clock, Cluster


class Verify:
    """Waits until every expected node is Ready."""

    name = "verify"
    needs = ("kubeconfig", "gitops")

    def __init__(
        self, *, cluster: Cluster, clock: Clock, instance: str, nodes: Sequence[str], limit: float
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._instance = instance
        self._nodes = tuple(nodes)
        self._limit = limit

    def fingerprint(self) -> str:
        """The names of the nodes that must be there."""
        return digest(self._nodes)

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """All nodes are Ready now."""
        missing = self._missing()
        return Probe(missing is None, missing or "")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Wait for the nodes."""
        wait_until(self._missing, run=run, clock=self._clock, limit=self._limit)
        return {
            "nodes": [
                {"name": n.name, "role": n.role, "address": n.address, "state": n.state}
                for n in self._cluster.nodes(instance=self._instance)
            ]
        }

    def undo(self, run: StepRun) -> None:
        """Nothing was made."""

    def _missing(self) -> str | None:
        states = {node.name: node.state for node in self._cluster.nodes(instance=self._instance)}
        for name in self._nodes:
            if states.get(name) != "Ready":
                return f"node {name} is {states.get(name, 'Absent')}"
        return None
