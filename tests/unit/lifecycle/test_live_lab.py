import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from zave.errors import StepFailedError
from zave.lifecycle.live_lab import look
from zave.ports import Item, Node
from zave.ports.machines import Machine, MachineState
from zave.steps.site import Tools

WANTED = (
    Machine("lab-control-plane-1", "control-plane", "10.0.0.1"),
    Machine("lab-worker-1", "worker", "10.0.0.2"),
)
NODES = [Node(m.name, m.role, m.address, "Ready") for m in WANTED]
STATES = [MachineState(m.name, "v1.35.9+k3s1", running=True) for m in WANTED]
ITEMS = [Item("libvirt_domain", m.name, f"zave-{m.name}") for m in WANTED]


@dataclass
class Answers:
    """What host, API and machines answer; each may raise or block."""

    items: Callable[[], Sequence[Item]] = lambda: ITEMS
    nodes: Callable[[], Sequence[Node]] = lambda: NODES
    look: Callable[[], Sequence[MachineState]] = lambda: STATES

    def tools(self) -> Tools:
        parts: Any = SimpleNamespace(
            inventory=SimpleNamespace(items=self.items),
            cluster=SimpleNamespace(nodes=lambda **_instance: self.nodes()),
            machines=SimpleNamespace(look=lambda _wanted: self.look()),
        )
        return cast("Tools", parts)


@pytest.fixture
def blocked() -> Iterator[Callable[[], Any]]:
    """A call that does not come back before the test ends."""
    over = threading.Event()
    yield over.wait
    over.set()


def _refuse() -> Any:
    raise StepFailedError("no route to host")


def test_a_live_lab_shows_domain_readiness_and_release() -> None:
    found = look(Answers().tools(), "lab", WANTED)
    assert found.warnings == ()
    assert found.nodes is not None
    assert found.nodes[1] == {
        "name": "lab-worker-1",
        "role": "worker",
        "address": "10.0.0.2",
        "state": "Ready",
        "release": "v1.35.9+k3s1",
        "machine": "running",
    }


def test_what_is_off_missing_or_silent_is_told_as_that() -> None:
    off = [Item("libvirt_domain", "1", "zave-lab-worker-1", state="shut off")]
    silent = [STATES[0], MachineState("lab-worker-1", problem="it does not answer")]
    found = look(Answers(lambda: off, lambda: NODES[:1], lambda: silent).tools(), "lab", WANTED)
    assert found.nodes is not None
    assert [(n["machine"], n["state"], n["release"]) for n in found.nodes] == [
        ("absent", "Ready", "v1.35.9+k3s1"),
        ("shut off", "Absent", None),
    ]
    assert found.warnings == ("lab: lab-worker-1: it does not answer",)


def test_without_the_api_what_was_seen_is_told_and_nothing_that_was_recorded() -> None:
    off = [Item("libvirt_domain", "1", "zave-lab-worker-1", state="shut off")]
    found = look(Answers(lambda: off, nodes=_refuse).tools(), "lab", WANTED)
    assert found.nodes is not None
    assert [(n["machine"], n["state"]) for n in found.nodes] == [
        ("absent", "Unknown"),
        ("shut off", "Unknown"),
    ]
    assert found.warnings == ("lab: the API cannot be asked: no route to host",)


def test_a_lab_of_which_nobody_answers_leaves_the_record() -> None:
    found = look(Answers(items=_refuse, nodes=_refuse, look=_refuse).tools(), "lab", WANTED)
    assert found.nodes is None
    assert len(found.warnings) == 3


def test_machines_that_cannot_be_asked_leave_their_release_open() -> None:
    found = look(Answers(look=_refuse, items=_refuse).tools(), "lab", WANTED)
    assert found.nodes is not None
    assert [(n["state"], n["release"], "machine" in n) for n in found.nodes] == [("Ready", None, False)] * 2
    assert len(found.warnings) == 2


def test_nobody_waits_for_what_does_not_answer(blocked: Callable[[], Any]) -> None:
    found = look(Answers(look=blocked, nodes=blocked, items=blocked).tools(), "lab", WANTED, patience=0.05)
    assert found.nodes is None
    assert found.warnings == tuple(
        f"lab: {whom} cannot be asked: it takes too long" for whom in ("the host", "the API", "the machines")
    )
