"""The rehearsed Kubernetes cluster: nodes out of the world's machines, Flux out of documents.

Where the machines are is the business of a `Site`: on the libvirt host, or in the AWS account.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zave.errors import StepFailedError
from zave.ports import Node, Reconciliation
from zave.rehearsal.clock import microseconds
from zave.rehearsal.durations import duration_of, seconds_for
from zave.rehearsal.sites import AwsSite, LibvirtSite, Site
from zave.rehearsal.things import Thing
from zave.rehearsal.world import World

_KIND = "cluster"
_SIMULATED = base64.b64encode(b"simulated by zave rehearsal").decode("ascii")


@dataclass(frozen=True)
class _Kustomization:
    """One of Flux's Kustomizations; times are virtual Unix time.

    `ready_at` is None until an attempt succeeds, `message` is what the last failed one said, and the
    next attempt is made at `retry_at`.
    """

    name: str
    ready_at: float | None = None
    retry_at: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class _Flux:
    """Flux in one cluster.

    `machine` is the key of the machine that it was installed on: a cluster that was made anew has no
    Flux yet, whatever its name.
    """

    machine: str
    since: float
    kustomizations: tuple[_Kustomization, ...]


class SimulatedCluster:
    """Implements `zave.ports.Cluster` over a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sites: tuple[Site, ...] = (LibvirtSite(world), AwsSite(world))

    def kubeconfig(self, *, instance: str, outputs: Mapping[str, Any]) -> str:
        """A kubeconfig that says itself that nothing answers there."""
        server = outputs.get("cluster_endpoint")
        if not isinstance(server, str) or not server:
            raise StepFailedError(
                "Terraform gave no cluster_endpoint",
                where=f"outputs of {instance}",
                resolution="the module k3s-cluster must have that output; then run the same command again",
            )
        self._control_plane(instance)
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
        return [node for site in self._sites for node in site.nodes(instance)]

    def bootstrap(self, *, instance: str, tree: Path, names: Sequence[str]) -> None:
        """Wait for the API server, then have Flux reconcile `names` one after the other.

        What is there already under the same names goes on. Raises StepFailedError when there is no
        control plane or no `tree`.
        """
        if not tree.is_dir():
            raise StepFailedError(
                "the rendered GitOps tree is not there",
                where=str(tree),
                resolution="run the same command again",
            )
        site, machine = self._control_plane(instance)
        self._world.clock.sleep(site.joined_at(machine) - self._world.clock.timestamp())
        found = self._flux(instance, machine)
        if found is not None and [each.name for each in found.kustomizations] == list(names):
            return
        kustomizations = tuple(_Kustomization(name) for name in names)
        flux = _Flux(machine.key, self._world.clock.timestamp(), kustomizations)
        surge = self._world.faults.take("scale", "cluster", instance, verbs=("surge",)).fault
        # together: nothing outside the cluster may exist that a teardown does not know of
        with self._world.transaction() as ledger:
            ledger.put_document(_KIND, instance, asdict(flux))
            ledger.log("bootstrap", "cluster", instance, detail=", ".join(names))
            site.provide(ledger, machine, surge=int(surge.factor) if surge else 0)

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        """The Kustomizations as they stand now; none before the bootstrap."""
        found = self._find_control_plane(instance)
        flux = self._flux(instance, found[1]) if found is not None else None
        if found is None or flux is None:
            return []
        if not found[0].answers(found[1]):
            return [
                Reconciliation("Kustomization", each.name, False, "the control plane does not answer")
                for each in flux.kustomizations
            ]
        return self._reconcile(instance, flux)

    def teardown(self, *, instance: str) -> None:
        """Suspend Flux, delete what owns something outside the cluster, take Flux away.

        Absent is fine: of a cluster that is gone nothing can be deleted any more.
        """
        if self._world.get_document(_KIND, instance) is None:
            return
        found = self._find_control_plane(instance)
        if found is not None:
            site, machine = found
            site.clear(machine)
            self._world.clock.sleep(seconds_for("cluster.flux", "teardown", instance))
        # last: a teardown that was cut off goes on where it stopped
        self._world.delete_document(_KIND, instance)
        self._world.note("teardown", "cluster", instance)

    # the control plane

    def _find_control_plane(self, instance: str) -> tuple[Site, Thing] | None:
        for site in self._sites:
            machine = site.control_plane(instance)
            if machine is not None:
                return site, machine
        return None

    def _control_plane(self, instance: str) -> tuple[Site, Thing]:
        found = self._find_control_plane(instance)
        if found is None:
            raise StepFailedError(
                f"no control plane of {instance} answers",
                where="the simulated world",
                resolution=f"zave up {instance} makes it again",
            )
        return found

    # Flux

    def _flux(self, instance: str, machine: Thing) -> _Flux | None:
        document = self._world.get_document(_KIND, instance)
        if document is None or document["machine"] != machine.key:
            return None
        kustomizations = tuple(_Kustomization(**each) for each in document["kustomizations"])
        return replace(_Flux(**document), kustomizations=kustomizations)

    def _reconcile(self, instance: str, flux: _Flux) -> list[Reconciliation]:
        """Go through the chain: each Kustomization starts when the one before it is ready."""
        now, start = self._world.clock.timestamp(), flux.since
        current: list[_Kustomization] = []
        told: list[Reconciliation] = []
        waiting_for = ""
        for each in flux.kustomizations:
            if waiting_for:
                told.append(_told(each, f"dependency '{waiting_for}' is not ready"))
                current.append(each)
                continue
            attempted = self._attempt(each, start=start, now=now)
            current.append(attempted)
            if attempted.ready_at is not None and attempted.ready_at <= now:
                told.append(Reconciliation("Kustomization", each.name, True, "applied (simulated)"))
                start = attempted.ready_at
            else:
                told.append(_told(each, attempted.message or "reconciling"))
                waiting_for = each.name
        if tuple(current) != flux.kustomizations:
            changed = replace(flux, kustomizations=tuple(current))
            self._world.put_document(_KIND, instance, asdict(changed))
        return told

    def _attempt(self, each: _Kustomization, *, start: float, now: float) -> _Kustomization:
        begins = max(start, each.retry_at)
        if each.ready_at is not None or begins > now:
            return each
        disturbed = self._world.faults.take("reconcile", "kustomization", each.name)
        if failing := disturbed.struck("fail"):
            self._world.note("fault", "kustomization", each.name, detail=str(failing))
            retry_at = now + duration_of("cluster.kustomization", "retry").typical
            message = failing.message or "health check failed (an injected fault of this rehearsal)"
            return replace(each, retry_at=retry_at, message=message)
        seconds = seconds_for("cluster.kustomization", "reconcile", each.name)
        return replace(each, ready_at=microseconds(begins + seconds), message="")


def _told(each: _Kustomization, message: str) -> Reconciliation:
    return Reconciliation("Kustomization", each.name, False, message)
