"""Workers that are about to go: their pods leave first, as their disruption budgets allow."""

from collections.abc import Sequence

from zave.k3s import guest, upgrade
from zave.k3s.lab import Lab
from zave.ports.machines import Machine

# the control plane may be what is being repaired: nobody waits for it here
_SECONDS = 20.0


def leave(lab: Lab, going: Sequence[Machine], staying: Sequence[Machine]) -> None:
    """Drain the nodes of `going`; see `zave.ports.machines.Machines.leave`.

    Each is marked before, as by an upgrade: should it stay after all, the next join lifts its cordon.
    """
    servers = [machine for machine in staying if machine.role == "control-plane"]
    asked = lab.first_answer(servers, guest.NODES, lambda answer: guest.nodes(answer.text), limit=_SECONDS)
    if asked is None:
        names = ", ".join(machine.name for machine in going)
        lab.tell(None, f"warning: no control plane machine answers: pods on {names} are cut off")
        return
    leader, nodes = asked[0], {node.name: node for node in asked[1]}
    for machine in going:
        node = nodes.get(machine.name)
        if node is None:
            continue
        if not node.ready:
            lab.tell(machine, "it is not Ready, so nothing is drained: its pods are made anew elsewhere")
            continue
        upgrade.empty(lab, leader, node, machine)
