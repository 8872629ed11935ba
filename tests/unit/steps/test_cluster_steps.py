"""Steps `kubeconfig` and `verify`: what people are told to do next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from zave.engine.step import StepRun
from zave.errors import StepFailedError
from zave.events import Event, Notice
from zave.ports import Node
from zave.steps.kubeconfig import Kubeconfig
from zave.steps.verify import Verify


@dataclass
class World:
    """A cluster, and time that passes when it is waited for."""

    text: str = "clusters: []\n"
    states: dict[str, str] = field(default_factory=dict)
    moment: datetime = datetime(2026, 11, 30, tzinfo=UTC)

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        return self.text

    def nodes(self, *, instance: str) -> Sequence[Node]:
        return [Node(name, "worker", "", state) for name, state in self.states.items()]

    def now(self) -> datetime:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def run(told: list[Event]) -> StepRun:
    return StepRun("1", Path("log"), told.append, {"infra": {}}, step="a step")


@pytest.mark.parametrize(
    ("expected", "advice"),
    [
        (("lab-control-plane-1", "lab-worker-1"), "`zave logs lab --node lab-worker-1`"),
        (2, "`zave logs lab`"),
    ],
)
def test_a_node_that_stays_away_is_named_with_where_its_log_is(
    expected: Sequence[str] | int, advice: str
) -> None:
    world = World(states={"lab-control-plane-1": "Ready", "lab-worker-1": "NotReady"})
    step = Verify(cluster=world, clock=world, instance="lab", expected=expected, limit=20)
    with pytest.raises(StepFailedError, match="not ready after 20 s") as caught:
        step.do(run([]))
    assert str(caught.value.resolution).startswith(advice)


def test_who_merged_a_kubeconfig_is_told_when_it_is_another_one(tmp_path: Path) -> None:
    world, told, merged = World(), list[Event](), ["/home/me/.kube/config"]
    step = Kubeconfig(
        cluster=world,
        clock=world,
        instance="lab",
        path=tmp_path / "kubeconfig",
        after="k3s",
        merged=lambda: merged[0] if merged else None,
    )
    step.do(run(told))
    assert len(told) == 1
    step.do(run(told))
    # the same one again
    assert len(told) == 1
    world.text = "clusters: [another]\n"
    step.do(run(told))
    notice = told[-1]
    assert isinstance(notice, Notice)
    assert len(told) == 2
    assert "/home/me/.kube/config still has the former kubeconfig of lab" in notice.text
    assert "zave kubeconfig lab --merge" in notice.text
    merged.clear()
    world.text = "clusters: [a third]\n"
    step.do(run(told))
    assert len(told) == 2
