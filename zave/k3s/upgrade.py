"""Another release of k3s on machines that have one: one node at a time, drained, control plane first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zave.errors import StepFailedError
from zave.k3s import datastore, guest
from zave.k3s.lab import Lab
from zave.ports.machines import Machine, Release

_EVERY = 3.0
# kubectl ends by itself before ssh is ended
_MARGIN = 30.0
_KUBECTL = 'k3s kubectl "$@"'


@dataclass(frozen=True)
class _Work:
    """One upgrade: `leader` answers for the cluster, `nodes` is what it had to say at the beginning."""

    lab: Lab
    leader: Machine
    nodes: dict[str, guest.NodeView]
    release: Release
    prepare: Callable[[Machine], None]

    def kubectl(self, *words: str) -> None:
        """Have kubectl do something, patiently: the API server restarts with its own node."""
        lab = self.lab
        deadline = lab.now() + lab.limits.start
        while (answer := lab.ask(self.leader, _KUBECTL, *words)).exit_code != 0:
            if lab.now() >= deadline:
                raise lab.failed(self.leader, f"kubectl {' '.join(words[:2])}", answer)
            lab.pause(_EVERY)


def upgrade(
    lab: Lab,
    machines: Mapping[Machine, str | None],
    *,
    leader: Machine,
    release: Release,
    snapshot: Path,
    prepare: Callable[[Machine], None],
) -> None:
    """Have all `machines`, given with the k3s that they have, run `release`; nothing where they do.

    A node is marked before anything is done to it, so that an upgrade that was cut off is finished.
    `prepare` pins the release on a machine and brings its files there.
    """
    if not machines:
        return
    nodes = {node.name: node for node in nodes_of(lab, leader)}
    marked = {name for name, node in nodes.items() if node.upgrading}
    behind = [m for m, present in machines.items() if present != release.version or m.name in marked]
    if not behind:
        return
    # an upgrade that goes on has kept its own, from before anything was changed
    if not marked:
        lab.tell(None, f"keeping a snapshot of the datastore before the upgrade: {snapshot}")
        datastore.save(lab, leader, snapshot)
    work = _Work(lab, leader, nodes, release, prepare)
    # the leader first: no node may run a newer release than the API server that it talks to
    for machine in sorted(behind, key=lambda m: (m.role != "control-plane", m != leader)):
        _upgrade_one(work, machine)


def nodes_of(lab: Lab, leader: Machine) -> list[guest.NodeView]:
    """The nodes as the API server on `leader` has them."""
    text = lab.order(leader, "asking for the nodes", guest.NODES)
    try:
        return guest.nodes(text)
    except ValueError as error:
        raise StepFailedError(
            f"{leader.name} answered something else than its nodes",
            where=f"{leader.name}: k3s kubectl get nodes",
            resolution="run the same command again",
        ) from error


def _upgrade_one(work: _Work, machine: Machine) -> None:
    lab, node = work.lab, work.nodes.get(machine.name)
    was = node.release if node and node.release else "an unknown release"
    lab.tell(machine, f"upgrading k3s from {was} to {work.release.version}")
    # with one node there is nowhere for its pods to go; k3s leaves them running while it restarts
    drained = node is not None and len(work.nodes) > 1
    # somebody else's cordon is theirs to lift, also when this is the second attempt
    ours = node is None or not node.unschedulable
    if node is not None and node.upgrading:
        ours = node.upgrading == "ours"
    if node is not None:
        mark = f"{guest.UPGRADING}={'ours' if ours else 'theirs'}"
        work.kubectl("annotate", "node", machine.name, mark, "--overwrite")
    if drained:
        _drain(work, machine, ours=ours)
    work.prepare(machine)
    version = work.release.version
    lab.order(machine, f"installing k3s {version}", guest.INSTALL, limit=lab.limits.start)
    lab.order(machine, "restarting k3s", guest.RESTART)
    _await_node(work, machine)
    if drained and ours:
        work.kubectl("uncordon", machine.name)
    if node is not None:
        work.kubectl("annotate", "node", machine.name, f"{guest.UPGRADING}-")


def _drain(work: _Work, machine: Machine, *, ours: bool) -> None:
    """Have the node's pods leave, as their disruption budgets allow. Lifted again when they do not."""
    lab, leader = work.lab, work.leader
    lab.tell(machine, f"draining, for {lab.limits.drain:.0f} s at most")
    words = ["drain", machine.name, "--ignore-daemonsets", "--delete-emptydir-data"]
    words.append(f"--timeout={lab.limits.drain:.0f}s")
    answer = lab.ask(leader, _KUBECTL, *words, limit=lab.limits.drain + _MARGIN)
    if answer.exit_code == 0:
        return
    if ours:
        lab.ask(leader, _KUBECTL, "uncordon", machine.name)
    lab.ask(leader, _KUBECTL, "annotate", "node", machine.name, f"{guest.UPGRADING}-")
    raise StepFailedError(
        f"{machine.name} could not be drained within {lab.limits.drain:.0f} s",
        details=answer.errors[-4000:] or None,
        where=machine.name,
        resolution="a PodDisruptionBudget or a pod without a controller keeps it (see above): give that pod "
        "another node or more replicas, then run the same command again",
    )


def _await_node(work: _Work, machine: Machine) -> None:
    """Wait until the API server has the node as Ready with the new release."""
    lab, version = work.lab, work.release.version
    deadline = lab.now() + lab.limits.start
    while True:
        node = _node(work, machine)
        if node is not None and node.ready and node.release == version:
            return
        if lab.now() >= deadline:
            shown = f"has {node.release}, {'Ready' if node.ready else 'NotReady'}" if node else "is not told"
            raise StepFailedError(
                f"{machine.name} is not Ready with k3s {version} after {lab.limits.start:.0f} s: it {shown}",
                details=lab.last_words(machine) or None,
                where=f"{machine.name}: journalctl -u k3s",
                resolution="the other nodes are as they were. Run the same command again: the upgrade goes "
                "on with this node; the snapshot from before it is kept",
            )
        lab.pause(_EVERY)


def _node(work: _Work, machine: Machine) -> guest.NodeView | None:
    """The node as it is now; None while nobody answers for it."""
    answer = work.lab.ask(work.leader, guest.NODES)
    try:
        found = guest.nodes(answer.text) if answer.exit_code == 0 else []
    except ValueError:
        found = []
    return next((node for node in found if node.name == machine.name), None)
