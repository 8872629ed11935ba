"""The rehearsed Kubernetes cluster: nodes out of the world's machines, Flux out of documents."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from zave.errors import StepFailedError
from zave.ports import Node, Reconciliation
from zave.rehearsal.clock import microseconds
from zave.rehearsal.durations import duration_of, seconds_for
from zave.rehearsal.hypervisor import address_of
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
        return [
            Node(name=name, role=role, address=address_of(thing, self._world), state=self._state(thing))
            for name, role, thing in self._machines(instance)
        ]

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
        machine = self._control_plane(instance)
        self._world.clock.sleep(self._joined_at(machine) - self._world.clock.timestamp())
        found = self._flux(instance, machine)
        if found is not None and [each.name for each in found.kustomizations] == list(names):
            return
        kustomizations = tuple(_Kustomization(name) for name in names)
        flux = _Flux(machine.key, self._world.clock.timestamp(), kustomizations)
        self._world.put_document(_KIND, instance, asdict(flux))
        self._world.note("bootstrap", "cluster", instance, detail=", ".join(names))

    def reconciliations(self, *, instance: str) -> Sequence[Reconciliation]:
        """The Kustomizations as they stand now; none before the bootstrap."""
        machines = [thing for _, role, thing in self._machines(instance) if role == "control-plane"]
        flux = self._flux(instance, machines[0]) if machines else None
        if flux is None:
            return []
        if self._state(machines[0]) != "Ready":
            return [
                Reconciliation("Kustomization", each.name, False, "the control plane does not answer")
                for each in flux.kustomizations
            ]
        return self._reconcile(instance, flux)

    def teardown(self, *, instance: str) -> None:
        """Take Flux away. Absent is fine."""
        if self._world.get_document(_KIND, instance) is None:
            return
        self._world.clock.sleep(seconds_for("cluster.flux", "teardown", instance))
        self._world.delete_document(_KIND, instance)
        self._world.note("teardown", "cluster", instance)

    # nodes

    def _machines(self, instance: str) -> list[tuple[str, Literal["control-plane", "worker"], Thing]]:
        pattern = re.compile(rf"zave-({re.escape(instance)}-(?:(control-plane)|worker)-([0-9]{{1,6}}))")
        found = []
        for thing in self._world.things(provider="libvirt"):
            match = pattern.fullmatch(thing.name)
            if match is not None and thing.type == "libvirt_domain":
                role: Literal["control-plane", "worker"] = "control-plane" if match[2] else "worker"
                found.append((role, int(match[3]), match[1], thing))
        found.sort(key=lambda each: each[:2])
        return [(name, role, thing) for role, _, name, thing in found]

    def _control_plane(self, instance: str) -> Thing:
        for _, role, thing in self._machines(instance):
            if role == "control-plane":
                return thing
        raise StepFailedError(
            f"no control plane of {instance} answers",
            where="simulated libvirt",
            resolution=f"zave up {instance} makes it again",
        )

    def _joined_at(self, thing: Thing) -> float:
        seconds = seconds_for("cluster.node", "ready", thing.name)
        return microseconds(thing.ready_at.timestamp() + seconds)

    def _state(self, thing: Thing) -> str:
        running = thing.state == "present" and thing.attributes.get("running") is True
        joined = self._world.clock.timestamp() >= self._joined_at(thing)
        return "Ready" if running and joined else "NotReady"

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
