"""Step `k3s`: who counts as joined, what is refused early, and the way out of a bad first boot."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zave.engine.step import StepRun
from zave.errors import RefusedChangeError, StepFailedError
from zave.k3s.reach import FirstBootError
from zave.ports import Item, Node
from zave.ports.machines import Machine, MachineState, Release
from zave.steps.k3s import K3s

RELEASE = Release("v1.35.9+k3s1", "ab" * 32, "vendor")
SERVER = Machine("lab-control-plane-1", "control-plane", "10.17.3.11")
WORKER = Machine("lab-worker-1", "worker", "10.17.3.21")


@dataclass
class Place:
    """A site with two machines, as far as the step looks at one."""

    states: dict[str, str] = field(default_factory=lambda: {m.name: "Ready" for m in (SERVER, WORKER)})
    reachable: bool = True
    failure: Exception | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def items(self) -> Sequence[Item]:
        found = []
        for machine in (SERVER, WORKER):
            found.append(Item("libvirt_domain", f"id of {machine.name}", machine.domain))
            for name in (f"{machine.domain}-0123abcd.qcow2", f"{machine.domain}-seed.iso"):
                found.append(Item("libvirt_volume", name, name))
        return found

    def step(self, *, talks_to: str | None = None) -> K3s:
        inventory = SimpleNamespace(
            items=self.items, how_to_delete=lambda item: f"delete {item.type} {item.name}"
        )
        cluster = SimpleNamespace(
            nodes=lambda instance: [Node(n, "worker", "", state) for n, state in self.states.items()]
        )
        store = SimpleNamespace(
            steps=lambda _instance: {},
            fact=lambda _instance, name: self.facts.get(name),
            put_fact=lambda _instance, name, value: self.facts.update({name: value}),
        )
        site: Any = SimpleNamespace(
            instance="lab", store=store, tools=SimpleNamespace(inventory=inventory, cluster=cluster)
        )
        machines: Any = SimpleNamespace(join=self.join, look=self.look, forget=lambda _machines: None)
        hypervisor: Any = SimpleNamespace(reaches=lambda network: self.reachable and network)
        return K3s(
            site=site,
            hypervisor=hypervisor,
            machines=machines,
            wanted=(SERVER, WORKER),
            release=lambda: RELEASE,
            configured=dict,
            configuration=dict,
            talks_to=talks_to,
        )

    def join(self, _machines: Sequence[Machine], **_more: Any) -> None:
        if self.failure is not None:
            raise self.failure

    def look(self, machines: Sequence[Machine]) -> list[MachineState]:
        return [MachineState(machine.name, RELEASE.version, running=True) for machine in machines]


def run() -> StepRun:
    return StepRun("1", Path("log"), lambda _event: None, {}, step="k3s")


@pytest.mark.parametrize(
    ("state", "told"), [("NotReady", "NotReady"), ("Unknown", "Unknown"), (None, "Absent")]
)
def test_an_agent_that_runs_and_was_not_let_in_has_not_joined(state: str | None, told: str) -> None:
    place = Place()
    step = place.step()
    outputs = step.do(run())
    assert step.probe(outputs).ok
    place.states.pop(WORKER.name)
    if state is not None:
        place.states[WORKER.name] = state
    found = step.probe(outputs)
    assert (found.ok, found.reason) == (False, f"node lab-worker-1 is {told}")


def test_a_machine_whose_first_boot_failed_can_be_deleted_alone() -> None:
    failure = FirstBootError("lab-worker-1: cloud-init ended with errors", details="harden-os.sh failed")
    failure.machine = WORKER.name
    with pytest.raises(StepFailedError, match="cloud-init ended with errors") as caught:
        Place(failure=failure).step().do(run())
    assert caught.value.details == "harden-os.sh failed"
    told = str(caught.value.resolution).splitlines()
    # its own domain and disk, by name; no other machine's, and not the lab
    assert told[1:] == [
        "delete libvirt_domain zave-lab-worker-1",
        "delete libvirt_volume zave-lab-worker-1-0123abcd.qcow2",
        "zave up lab",
    ]


def test_an_api_that_cannot_be_reached_from_here_is_refused_before_anything_is_made() -> None:
    place = Place(reachable=False)
    with pytest.raises(RefusedChangeError, match=r"10\.17\.3\.0/24 is on another host") as caught:
        place.step(talks_to="10.17.3.0/24").require()
    assert "gitops.profile" in str(caught.value.resolution)
    # a bare cluster is not spoken to
    place.step().require()
    Place().step(talks_to="10.17.3.0/24").require()
