"""The rehearsed Kubernetes cluster: nodes out of the world's machines.

Where the machines are is the business of a `Site`: on the libvirt host, or in the AWS account.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from zave.errors import StepFailedError
from zave.ports import Node
from zave.rehearsal.sites import sites_of
from zave.rehearsal.world import World

_SIMULATED = base64.b64encode(b"simulated by zave rehearsal").decode("ascii")


class SimulatedCluster:
    """Implements `zave.ports.Cluster` over a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        """A kubeconfig that says itself that nothing answers there."""
        server = outputs.get("cluster_endpoint")
        if not isinstance(server, str) or not server:
            raise StepFailedError(
                "Terraform gave no cluster_endpoint",
                where=f"outputs of {instance}",
                resolution="the module k3s-cluster must have that output; then run the same command again",
            )
        self._require_control_plane(instance)
        name = json.dumps(f"zave-{instance}")
        return f"""\
# simulated by a rehearsal: nothing answers at this address, and these credentials open nothing
apiVersion: v1
kind: Config
current-context: {name}
clusters:
  - name: {name}
    cluster:
      server: {json.dumps(server)}
      certificate-authority-data: {_SIMULATED}
users:
  - name: {name}
    user:
      client-certificate-data: {_SIMULATED}
      client-key-data: {_SIMULATED}
contexts:
  - name: {name}
    context:
      cluster: {name}
      user: {name}
"""

    def nodes(self, *, instance: str) -> Sequence[Node]:
        """The instance's machines as nodes: Ready once they run and had the time to join."""
        return [node for site in sites_of(self._world) for node in site.nodes(instance)]

    def _require_control_plane(self, instance: str) -> None:
        """Raises StepFailedError when nothing of the instance answers."""
        if any(site.control_plane(instance) is not None for site in sites_of(self._world)):
            return
        raise StepFailedError(
            f"no control plane of {instance} answers",
            where="the simulated world",
            resolution=f"zave up {instance} makes it again",
        )
