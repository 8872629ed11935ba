"""Workers that are about to go: their pods leave first, as their disruption budgets allow."""

from collections.abc import Sequence

from zave.errors import ZaveError
from zave.k3s import guest, upgrade
from zave.k3s.lab import Lab
from zave.ports.machines import Machine

# the control plane may be what is being repaired: nobody waits for it here
_SECONDS = 20.0


def leave(lab: Lab, going: Sequence[Machine], staying: Sequence[Machine]) -> None:
    """Drain the nodes of `going`; see `zave.ports.machines.Machines.leave`.

    Each is marked before, as by an upgrade: should it stay after all, the next join lifts its cordon.
    """
    leader, nodes = _asked(lab, staying)
    if leader is None:
        names = ", ".join(machine.name for machine in going)
        lab.tell(None, f"warning: no control plane machine answers: pods on {names} are cut off")
        return
    for machine in going:
        node = nodes.get(machine.name)
        if node is None:
            continue
        if not node.ready:
            lab.tell(machine, "it is not Ready, so nothing is drained: its pods are made anew elsewhere")
            continue
        upgrade.empty(lab, leader, node, machine)


def _asked(
    lab: Lab, staying: Sequence[Machine]
) -> tuple[Machine, dict[str, guest.NodeView]] | tuple[None, dict[str, guest.NodeView]]:
    """The first server that answers for the nodes, and these."""
    for server in staying:
        # one that zave was never in has no pinned key, and is not asked
        if server.role != "control-plane" or not lab.known.keys_of(server.name):
            continue
        try:
            answer = lab.ask(server, guest.NODES, limit=_SECONDS)
            found = guest.nodes(answer.text) if answer.exit_code == 0 and answer.whole else None
        except (ZaveError, ValueError):
            found = None
        if found is not None:
            return server, {node.name: node for node in found}
    return None, {}
