"""Step `verify`: the cluster answers, all its nodes are Ready."""

from collections.abc import Mapping, Sequence
from typing import Any

from zave.engine.execute import wait_until
from zave.engine.step import Probe, StepRun, digest
from zave.ports import Clock, Cluster


class Verify:
    """Waits until every expected node is Ready: named ones, or so many where the cloud names them."""

    name = "verify"

    def __init__(
        self,
        *,
        cluster: Cluster,
        clock: Clock,
        instance: str,
        expected: Sequence[str] | int,
        limit: float,
        needs: tuple[str, ...] = ("kubeconfig", "gitops"),
    ) -> None:
        self.needs = needs
        self._cluster = cluster
        self._clock = clock
        self._instance = instance
        self._expected = expected if isinstance(expected, int) else tuple(expected)
        self._limit = limit

    def fingerprint(self) -> str:
        """The names of the nodes that must be there, or how many."""
        return digest(self._expected)

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """All nodes are Ready now."""
        missing = self._missing()
        return Probe(missing is None, missing or "")

    def do(self, run: StepRun) -> dict[str, Any]:
        """Wait for the nodes."""
        wait_until(
            self._missing, run=run, clock=self._clock, limit=self._limit, resolution=self._what_to_look_at
        )
        return {
            "nodes": [
                {"name": n.name, "role": n.role, "address": n.address, "state": n.state}
                for n in self._cluster.nodes(instance=self._instance)
            ]
        }

    def undo(self, run: StepRun) -> None:
        """Nothing was made."""

    def _missing(self) -> str | None:
        states = self._states()
        if isinstance(self._expected, int):
            ready = sum(state == "Ready" for state in states.values())
            return None if ready >= self._expected else f"{ready} of {self._expected} nodes are Ready"
        name = self._first_missing(states)
        return None if name is None else f"node {name} is {states.get(name, 'Absent')}"

    def _what_to_look_at(self) -> str:
        """The journal of a machine of one's own; a cloud's nodes have none that zave could show."""
        name = self._first_missing(self._states())
        where = f"zave logs {self._instance}" + (f" --node {name}" if name is not None else "")
        return f"`{where}` tells more; then run the same command again"

    def _first_missing(self, states: Mapping[str, str]) -> str | None:
        names = () if isinstance(self._expected, int) else self._expected
        return next((name for name in names if states.get(name) != "Ready"), None)

    def _states(self) -> dict[str, str]:
        return {node.name: node.state for node in self._cluster.nodes(instance=self._instance)}
