"""Another release or configuration of k3s where one runs: node by node, drained, control plane first."""

from collections.abc import Callable, Collection, Mapping
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
    """One change: `leader` answers for the cluster, `nodes` is what it had to say at the beginning.

    `prepare` pins the release on a machine, brings its files and its configuration there.
    """

    lab: Lab
    leader: Machine
    nodes: dict[str, guest.NodeView]
    release: Release
    prepare: Callable[[Machine], None]


@dataclass(frozen=True)
class Present:
    """Machines that run k3s: which release each has (None: unknown), and whose configuration is another."""

    releases: Mapping[Machine, str | None]
    outdated: Collection[Machine] = ()

    def behind(self, release: str) -> list[Machine]:
        """Those that something must be done to."""
        return [m for m, present in self.releases.items() if present != release or m in self.outdated]


def upgrade(
    lab: Lab,
    present: Present,
    *,
    leader: Machine,
    release: Release,
    snapshot: Path,
    prepare: Callable[[Machine], None],
) -> None:
    """Have all machines that are `present` run `release`, prepared by `prepare`; nothing where they do.

    A node is marked before anything is done to it, so that a change that was cut off is finished.
    """
    if not present.releases:
        return
    nodes = {node.name: node for node in nodes_of(lab, leader)}
    marked = [m for m in present.releases if m.name in nodes and nodes[m.name].upgrading]
    behind = dict.fromkeys([*present.behind(release.version), *marked])
    if not behind:
        return
    # a change that goes on has kept its own, from before anything was changed
    if not marked:
        lab.tell(None, f"keeping a snapshot of the datastore before the change: {snapshot}")
        datastore.save(lab, leader, snapshot)
    work = _Work(lab, leader, nodes, release, prepare)
    # the leader first: no node may run a newer release than the API server that it talks to
    for machine in sorted(behind, key=lambda m: (m.role != "control-plane", m != leader)):
        _upgrade_one(work, machine)


def empty(lab: Lab, leader: Machine, node: guest.NodeView, machine: Machine) -> None:
    """Mark the node and have its pods leave it. Raises StepFailedError when they may not.

    Somebody else's cordon is theirs to lift, also when this is the second attempt.
    """
    ours = node.upgrading == "ours" if node.upgrading else not node.unschedulable
    mark = f"{guest.UPGRADING}={'ours' if ours else 'theirs'}"
    _kubectl(lab, leader, "annotate", "node", machine.name, mark, "--overwrite")
    _drain(lab, leader, machine, ours=ours)


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
    lab, leader, node = work.lab, work.leader, work.nodes.get(machine.name)
    was, version = node.release if node and node.release else "an unknown release", work.release.version
    if was == version:
        lab.tell(machine, "restarting k3s with its new configuration")
    else:
        lab.tell(machine, f"upgrading k3s from {was} to {version}")
    ours = True
    if node is not None:
        ours = node.upgrading == "ours" if node.upgrading else not node.unschedulable
        if len(work.nodes) > 1:
            empty(lab, leader, node, machine)
        else:
            # there is nowhere for its pods to go; k3s leaves them running while it restarts
            mark = f"{guest.UPGRADING}={'ours' if ours else 'theirs'}"
            _kubectl(lab, leader, "annotate", "node", machine.name, mark, "--overwrite")
    work.prepare(machine)
    lab.order(machine, f"installing k3s {version}", guest.INSTALL, limit=lab.limits.start)
    before = _node(work, machine)
    lab.order(machine, "restarting k3s", guest.RESTART)
    _await_node(work, machine, since=before.heartbeat if before else "")
    if node is not None and len(work.nodes) > 1 and ours:
        _kubectl(lab, leader, "uncordon", machine.name)
    if node is not None:
        _kubectl(lab, leader, "annotate", "node", machine.name, f"{guest.UPGRADING}-")


def _kubectl(lab: Lab, leader: Machine, *words: str) -> None:
    """Have kubectl do something, patiently: the API server restarts with its own node."""
    deadline = lab.now() + lab.limits.start
    while (answer := lab.ask(leader, _KUBECTL, *words)).exit_code != 0:
        if lab.now() >= deadline:
            raise lab.failed(leader, f"kubectl {' '.join(words[:2])}", answer)
        lab.pause(_EVERY)


def _drain(lab: Lab, leader: Machine, machine: Machine, *, ours: bool) -> None:
    """Have the node's pods leave, as their disruption budgets allow. Lifted again when they do not."""
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


def _await_node(work: _Work, machine: Machine, *, since: str) -> None:
    """Wait until the node is Ready with the release, as its kubelet tells after the heartbeat `since`.

    Without a newer heartbeat it is what the API server knew of it before it was restarted.
    """
    lab, version = work.lab, work.release.version
    deadline = lab.now() + lab.limits.start
    while True:
        node = _node(work, machine)
        fresh = node is not None and (not since or node.heartbeat != since)
        if node is not None and fresh and node.ready and node.release == version:
            return
        if lab.now() >= deadline:
            shown = f"has {node.release}, {'Ready' if node.ready else 'NotReady'}" if node else "is not told"
            if node is not None and not fresh:
                shown = "has told nothing since its restart"
            raise StepFailedError(
                f"{machine.name} is not Ready with k3s {version} after {lab.limits.start:.0f} s: it {shown}",
                details=lab.last_words(machine) or None,
                where=f"{machine.name}: journalctl -u k3s",
                resolution="the other nodes are as they were. Run the same command again: the change goes "
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
