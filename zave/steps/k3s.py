"""Step `k3s`: every machine in the cluster, running the pinned release."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zave.engine.step import Probe, StepRun, digest
from zave.errors import PreconditionError, RefusedChangeError, StepFailedError
from zave.k3s.reach import FirstBootError
from zave.k3s.versions import check_step
from zave.ports import Hypervisor
from zave.ports.machines import Configuration, Machine, Machines, Release
from zave.steps.site import Site

# what each machine was when its host key was pinned: one that was made anew has another key
_PINNED = "k3s.machines"
# how a machine is that somebody stopped, or that stopped by itself
_OFF = frozenset({"shut off", "crashed", "paused", "suspended"})


@dataclass(frozen=True)
class K3s:
    """Joins the machines, and changes them node by node when the release or the configuration changes.

    `release` is asked when it is needed: a teardown must not depend on where releases come from.
    `configuration` is what k3s is told on each machine, `configured` what that follows from. `talks_to`
    is the network in which later steps must reach the API from this machine; None when none does.
    """

    site: Site
    hypervisor: Hypervisor
    machines: Machines
    wanted: Sequence[Machine]
    release: Callable[[], Release]
    configured: Callable[[], Mapping[str, Any]]
    configuration: Callable[[], Configuration]
    talks_to: str | None = None
    name: str = "k3s"
    needs: tuple[str, ...] = ("infra",)

    def fingerprint(self) -> str:
        """Covers release, configuration and which machines there are; the probe knows those made anew."""
        machines = [asdict(machine) for machine in self.wanted]
        return digest([asdict(self.release()), dict(self.configured()), machines])

    def change(self, outputs: Mapping[str, Any]) -> str | None:
        """What the fingerprint covers and `outputs` were not made with, in words."""
        before, after = outputs.get("release"), self.release().version
        told = [f"k3s {before} -> {after}"] if before is not None and before != after else []
        known = {machine["name"] for machine in outputs.get("machines", ())}
        names = {machine.name for machine in self.wanted}
        told += [f"{name} is new" for name in sorted(names - known)]
        told += [f"{name} goes, drained before" for name in sorted(known - names)]
        former, now = outputs.get("configuration", {}), self._digests()
        changed = sorted(name for name in former.keys() & now.keys() if former[name] != now[name])
        if changed:
            files = {f for name in changed for f in former[name].keys() | now[name].keys()}
            files = {f for f in files if any(former[n].get(f) != now[n].get(f) for n in changed)}
            what = ", ".join(sorted(files))
            told.append(f"{what} changes: k3s restarts, one at a time, on {', '.join(changed)}")
        return ", ".join(told) or None

    def require(self) -> None:
        """Refuse what cannot be done to the cluster that runs. Raises RefusedChangeError.

        Asked when a plan is made: Terraform would take the machines away before this step has its turn.
        """
        if self.talks_to is not None and not self.hypervisor.reaches(self.talks_to):
            raise _beyond_reach(self.talks_to)
        record = self.site.store.steps(self.site.instance).get(self.name)
        if record is None or record.state == "undone":
            return
        # noted before the first of them joins: it counts those of a run that failed as well
        known = {str(name) for name in self.site.store.fact(self.site.instance, _PINNED) or {}}
        self._require_servers(known)
        before = record.outputs.get("release")
        if before is not None and before != (after := self.release().version):
            try:
                check_step(before, after, machine=self.site.instance)
            except PreconditionError as error:
                raise RefusedChangeError(
                    error.brief, details=error.details, where=error.where, resolution=error.resolution
                ) from error

    def empty_leaving(self, run: StepRun) -> None:
        """Have pods leave the workers that are no longer wanted, before Terraform takes these away."""
        record = self.site.store.steps(self.site.instance).get(self.name)
        names = {machine.name for machine in self.wanted}
        going = [
            Machine(known["name"], known["role"], known["address"])
            for known in (record.outputs.get("machines", ()) if record is not None else ())
            if known["name"] not in names and known["role"] == "worker"
        ]
        if going:
            self.machines.leave(going, self.wanted, say=run.say)

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Each machine is the one that joined, runs the release, and is a Ready node.

        The last by the API server's word: an agent that is not let in tries again for ever, and runs.
        """
        there = self._identities()
        for machine in outputs.get("machines", ()):
            if there.get(machine["name"]) != machine["identity"]:
                return Probe(False, f"{machine['name']} was made anew")
        version = self.release().version
        for state in self.machines.look(self.wanted):
            if state.problem is not None:
                return Probe(False, f"{state.name}: {state.problem}")
            if state.release != version:
                return Probe(False, f"{state.name} has {state.release or 'no k3s'}, not {version}")
            if not state.running:
                return Probe(False, f"k3s does not run on {state.name}")
        nodes = {n.name: n.state for n in self.site.tools.cluster.nodes(instance=self.site.instance)}
        for machine in self.wanted:
            if nodes.get(machine.name) != "Ready":
                return Probe(False, f"node {machine.name} is {nodes.get(machine.name, 'Absent')}")
        return Probe(True)

    def do(self, run: StepRun) -> dict[str, Any]:
        """Start what was switched off, and join; who was made anew must show its host key again."""
        self._start_stopped(run)
        release, there = self.release(), self._identities()
        store, instance = self.site.store, self.site.instance
        pinned: dict[str, str] = store.fact(instance, _PINNED) or {}
        anew = [m for m in self.wanted if pinned.get(m.name, there.get(m.name)) != there.get(m.name)]
        if anew:
            self.machines.forget(anew)
        if pinned != there:
            store.put_fact(instance, _PINNED, there)
        try:
            self.machines.join(self.wanted, release=release, say=run.say, configuration=self.configuration())
        except FirstBootError as error:
            raise self._with_the_way_out(error) from error
        return {
            "release": release.version,
            "configuration": self._digests(),
            "machines": [{**asdict(m), "identity": there.get(m.name)} for m in self.wanted],
        }

    def _with_the_way_out(self, error: FirstBootError) -> StepFailedError:
        """The same error with the commands that delete this one machine: the others stay as they are."""
        inventory = self.site.tools.inventory
        domain = next(m.domain for m in self.wanted if m.name == error.machine)
        lines = [
            inventory.how_to_delete(item)
            for item in inventory.items()
            if (item.type == "libvirt_domain" and item.name == domain)
            # a disk's name ends in what it was made from (`terraform-modules/libvirt-vm/volumes.tf`)
            or (item.type == "libvirt_volume" and _owner_of(item.name) == domain)
        ]
        return StepFailedError(
            error.brief,
            details=error.details,
            where=error.where,
            resolution=f"`zave ssh {self.site.instance} {error.machine}`, then "
            "/var/log/cloud-init-output.log, tells more. cloud-init runs once: once its cause is gone, make "
            f"this machine anew, and lose what is on its disk:\n{chr(10).join(lines)}\n"
            f"zave up {self.site.instance}",
        )

    def undo(self, run: StepRun) -> None:
        """Drop the host keys: the machines go with what Terraform made."""
        self.machines.forget(self.wanted)
        self.site.store.delete_fact(self.site.instance, _PINNED)

    def _require_servers(self, known: set[str]) -> None:
        prefix = f"{self.site.instance}-control-plane-"
        servers = {name for name in known if name.startswith(prefix)}
        wanted = {machine.name for machine in self.wanted if machine.role == "control-plane"}
        if servers <= wanted:
            return
        instance = self.site.instance
        raise RefusedChangeError(
            f"{instance} has {len(servers)} control plane machines, and {len(wanted)} would be left",
            where="nodes.control-plane.count",
            details="they keep the cluster's data in etcd, which stands still once most of its members are "
            "gone: zave takes none away from a cluster that runs",
            resolution=f"set the count to {len(servers)}, or begin anew: zave down {instance}, then zave up "
            f"{instance}. What is only in the cluster and on its volumes is lost then",
        )

    def _digests(self) -> dict[str, dict[str, str]]:
        return {
            machine: {name: digest(text) for name, text in files.items()}
            for machine, files in self.configuration().items()
        }

    def _start_stopped(self, run: StepRun) -> None:
        """Terraform does not see this: its provider keeps `running` as it was applied.

        dmacvicar/libvirt 0.9.7, internal/provider/domain_resource.go: read back at an import only.
        """
        names = {machine.domain for machine in self.wanted}
        for item in self.site.tools.inventory.items():
            if item.type == "libvirt_domain" and item.name in names and item.state in _OFF:
                run.say(f"starting {item.name}, which is {item.state}")
                self.hypervisor.start(item.name)

    def _identities(self) -> dict[str, str]:
        """What the host calls each machine's domain and disk, by the machine's name."""
        items = self.site.tools.inventory.items()
        domains = {i.name: i.id for i in items if i.type == "libvirt_domain"}
        # a disk's name ends in what it was made from (`terraform-modules/libvirt-vm/volumes.tf`)
        disks = {i.name.rpartition("-")[0]: i.id for i in items if i.name.endswith(".qcow2")}
        names = {m.name: m.domain for m in self.wanted}
        return {name: f"{domains[d]} {disks.get(d, '')}" for name, d in names.items() if d in domains}


def _owner_of(volume: str) -> str:
    """The domain whose disk a volume is; something else for any other volume."""
    return volume.rpartition("-")[0] if volume.endswith(".qcow2") else ""


def _beyond_reach(network: str) -> RefusedChangeError:
    return RefusedChangeError(
        f"the machines' network {network} is on another host, and cannot be reached from here",
        where="libvirt.uri",
        details="zave enters the machines through that host, by SSH. Flux, kubectl and the kubeconfig need "
        "their API at its own address, and this machine has no route to it: nothing was made",
        resolution="run zave on that host itself (libvirt.uri: qemu:///system); or give this machine a route "
        f"to {network} (a VPN to that host, whose firewall must let it in); or set gitops.profile to none, "
        "and work on the cluster with zave ssh",
    )
