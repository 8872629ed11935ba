"""The home lab's cluster, seen through its control plane machines."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zave.errors import StepFailedError
from zave.k3s import guest
from zave.k3s.machines import SshMachines
from zave.ports import Node
from zave.ports.machines import Machine

# a machine without KVM takes its time for kubectl
_SECONDS = 20.0
_LARGEST = 64 * 1024


class LabCluster:
    """Implements `zave.ports.Cluster` for k3s on machines of one's own.

    `machines` gives the way into an instance's machines, `members` the machines it is made of.
    """

    def __init__(
        self,
        *,
        machines: Callable[[str], SshMachines],
        members: Callable[[str], Sequence[Machine]],
    ) -> None:
        self._machines = machines
        self._members = members

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        """The administrator's kubeconfig, for the machine's own address and under the instance's name."""
        server = self._server(instance)
        answer = self._machines(instance).ask(server, guest.KUBECONFIG, limit=_SECONDS)
        if answer.exit_code != 0:
            raise StepFailedError(
                f"{server.name} did not give its kubeconfig",
                details=answer.errors or None,
                where=f"{server.name}: /etc/rancher/k3s/k3s.yaml",
                resolution="see whether k3s runs there (journalctl -u k3s), then run the same command again",
            )
        return _rewritten(answer.text, server, name=f"zave-{instance}")

    def nodes(self, *, instance: str) -> Sequence[Node]:
        """The nodes as the first API server has them that answers; `Unknown` when none does."""
        members = self._members(instance)
        servers = _servers(members, instance)
        asked = self._machines(instance).first_answer(
            servers, guest.NODES, lambda answer: guest.nodes(answer.text), limit=_SECONDS
        )
        if asked is None:
            # nobody vouches for any, and nobody says that they are not well either
            return [Node(m.name, m.role, m.address, "Unknown") for m in members]
        return [Node(n.name, n.role, n.address, "Ready" if n.ready else "NotReady") for n in asked[1]]

    def _server(self, instance: str) -> Machine:
        return _servers(self._members(instance), instance)[0]


def _servers(members: Sequence[Machine], instance: str) -> list[Machine]:
    servers = [machine for machine in members if machine.role == "control-plane"]
    if not servers:
        raise StepFailedError(
            f"{instance} has no control plane machine",
            resolution=f"zave up {instance} makes it again",
        )
    return servers


def _rewritten(text: str, server: Machine, *, name: str) -> str:
    """A kubeconfig of zave's own making: of k3s' only the three pieces of base64 are taken over."""
    try:
        authority, certificate, key = _pieces(text)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        # without a cause that is shown: the text holds a key
        raise StepFailedError(
            f"{server.name} has no kubeconfig in the form that k3s writes",
            where=f"{server.name}: /etc/rancher/k3s/k3s.yaml",
            resolution="see whether k3s runs there (journalctl -u k3s), then run the same command again",
        ) from error
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://{server.address}:6443",
                    "certificate-authority-data": authority,
                },
            }
        ],
        "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    # JSON is YAML as well, and needs no care with quoting
    return json.dumps(document, indent=2) + "\n"


def _pieces(text: str) -> tuple[str, str, str]:
    import yaml

    if len(text) > _LARGEST:
        raise ValueError("too large")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError("not YAML") from error
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    pieces = (
        cluster["certificate-authority-data"],
        user["client-certificate-data"],
        user["client-key-data"],
    )
    for piece in pieces:
        try:
            base64.b64decode(piece, validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error
    return pieces
