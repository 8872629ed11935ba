"""What a home lab says of itself now: domains, machines from inside, nodes; within seconds or not at all."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zave.errors import ZaveError
from zave.ports import Item, Node
from zave.ports.machines import Machine, MachineState

if TYPE_CHECKING:
    from zave.steps.site import Tools

# seconds: what a person waits for a status
PATIENCE = 3.0


@dataclass(frozen=True)
class LiveLab:
    """`nodes` as `zave/status/v1` has them; None where nobody of the lab answered. Warnings for people."""

    nodes: tuple[dict[str, Any], ...] | None
    warnings: tuple[str, ...] = ()


def look(tools: "Tools", instance: str, wanted: Sequence[Machine], *, patience: float = PATIENCE) -> LiveLab:
    """Ask host, machines and API side by side, for `patience` real seconds at most."""
    machines = tools.machines
    asked = {
        "the host": _Question(tools.inventory.items),
        "the API": _Question(lambda: tools.cluster.nodes(instance=instance)),
        "the machines": _Question(lambda: machines.look(wanted) if machines is not None else ()),
    }
    deadline = time.monotonic() + patience
    warnings = []
    for whom, question in asked.items():
        problem = question.wait(max(0.0, deadline - time.monotonic()))
        if problem is not None:
            warnings.append(f"{instance}: {whom} cannot be asked: {problem}")
    items: Sequence[Item] | None = asked["the host"].answer
    nodes: Sequence[Node] | None = asked["the API"].answer
    states: Sequence[MachineState] | None = asked["the machines"].answer
    if nodes is None and items is None and not states:
        return LiveLab(None, tuple(warnings))
    told = {state.name: state for state in states or ()}
    warnings += [f"{instance}: {s.name}: {s.problem}" for s in told.values() if s.problem is not None]
    shown = [_shown(machine, nodes, told.get(machine.name), items) for machine in wanted]
    return LiveLab(tuple(shown), tuple(warnings))


def _shown(
    machine: Machine,
    nodes: Sequence[Node] | None,
    told: MachineState | None,
    items: Sequence[Item] | None,
) -> dict[str, Any]:
    shown = {
        "name": machine.name,
        "role": machine.role,
        "address": machine.address,
        "state": _state(machine, nodes),
        "release": None if told is None else told.release,
    }
    if items is not None:
        name = machine.domain
        domain = next((i for i in items if (i.type, i.name) == ("libvirt_domain", name)), None)
        state = "absent" if domain is None else domain.state
        shown["machine"] = {"present": "running", "absent": "absent"}.get(state, "shut off")
    return shown


def _state(machine: Machine, nodes: Sequence[Node] | None) -> str:
    """As Kubernetes says it, which has a word for what nobody could be asked about as well."""
    if nodes is None:
        return "Unknown"
    return next((node.state for node in nodes if node.name == machine.name), "Absent")


class _Question:
    """A call in a thread of its own, which is left behind when it takes too long."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.answer: Any = None
        self._problem: str | None = None
        self._ask = ask
        # a daemon: a machine that never answers must not hold up the end of the command
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> str | None:
        """Why there is no answer; None when there is one."""
        self._thread.join(seconds)
        return "it takes too long" if self._thread.is_alive() else self._problem

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except ZaveError as error:
            self._problem = error.brief
