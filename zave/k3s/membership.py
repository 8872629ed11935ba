"""Which machines are nodes of the cluster, by the API server's word.

An active unit proves nothing of an agent: k3s tries again within its process for ever when its token or
its node password is refused (k3s, pkg/agent/config/config.go, Get, and pkg/agent/run.go).
"""

import re
from collections.abc import Mapping, Sequence

from zave.errors import StepFailedError
from zave.k3s import guest
from zave.k3s.lab import Lab
from zave.ports.machines import Machine

_EVERY = 3.0


def await_nodes(
    lab: Lab, leader: Machine, machines: Sequence[Machine], *, since: Mapping[str, str] | None = None
) -> None:
    """Wait until `leader` has a node for each of `machines`, and all of them are Ready.

    `since` are heartbeats by node: where one is given, a node counts once its kubelet told another.
    Raises StepFailedError with the last words of a machine that is missing.
    """
    deadline = lab.now() + lab.limits.start
    told = ""
    while missing := _missing(lab, leader, machines, since or {}):
        if lab.now() >= deadline:
            raise _not_ready(lab, leader, missing)
        waiting = ", ".join(f"{machine.name} ({state})" for machine, state in missing.items())
        if waiting != told:
            lab.tell(None, f"waiting for nodes to be Ready: {waiting}")
            told = waiting
        lab.pause(_EVERY)


def forget_gone(
    lab: Lab, leader: Machine, wanted: Sequence[Machine], nodes: Sequence[guest.NodeView]
) -> None:
    """Delete the nodes of machines that the instance had once, and has no more."""
    names = {machine.name for machine in wanted}
    # a machine that somebody added by hand under a name of its own stays
    ours = re.compile(rf"{re.escape(lab.instance)}-(control-plane|worker)-[0-9]+")
    for node in nodes:
        if node.name not in names and ours.fullmatch(node.name):
            lab.tell(None, f"{node.name} is gone: its former node is deleted")
            delete_node(lab, leader, node.name)


def delete_node(lab: Lab, leader: Machine, name: str) -> None:
    """Have the API server on `leader` forget a node; k3s drops the node's password with it."""
    lab.order(leader, f"deleting the former node {name}", guest.DELETE_NODE, name)


def forget_passwords(lab: Lab, leader: Machine, names: Sequence[str]) -> None:
    """Have the cluster take the next password that each node brings.

    k3s refuses a name that comes with another password than the one in its Secret, and keeps the new one
    where there is no Secret (k3s, pkg/nodepassword/nodepassword.go, Ensure).
    """
    if names:
        what = "deleting the passwords of former nodes"
        lab.order(leader, what, guest.DELETE_SECRETS, *(f"{name}.node-password.k3s" for name in names))


def _missing(
    lab: Lab, leader: Machine, machines: Sequence[Machine], since: Mapping[str, str]
) -> dict[Machine, str]:
    """The machines whose nodes are not Ready, and what their nodes are instead."""
    answer = lab.ask(leader, guest.NODES)
    try:
        nodes = guest.nodes(answer.text) if answer.exit_code == 0 and answer.whole else None
    except ValueError:
        nodes = None
    if nodes is None:
        return {leader: "its API server does not answer"}
    known = {node.name: node for node in nodes}
    states = {machine: _state(known.get(machine.name), since.get(machine.name)) for machine in machines}
    return {machine: state for machine, state in states.items() if state is not None}


def _state(node: guest.NodeView | None, since: str | None) -> str | None:
    """What keeps a node from counting; None when nothing does."""
    if node is None:
        return "it has not joined"
    if not node.ready:
        return "NotReady"
    if since and node.heartbeat == since:
        return "nothing heard of it yet"
    return None


def _not_ready(lab: Lab, leader: Machine, missing: Mapping[Machine, str]) -> StepFailedError:
    machine, state = next(iter(missing.items()))
    others = [each.name for each in missing][1:]
    and_others = f" (nor are {', '.join(others)})" if others else ""
    brief = f"{machine.name} is no Ready node after {lab.limits.start:.0f} s: {state}{and_others}"
    return StepFailedError(
        brief,
        details=lab.last_words(machine) or None,
        where=f"{machine.name}: journalctl -u k3s",
        resolution=f"what its log says last is above, and `zave logs {lab.instance} --node {machine.name}` "
        f"shows more: k3s there goes on trying to join {leader.name}. Run the same command again to go on "
        "waiting",
    )
