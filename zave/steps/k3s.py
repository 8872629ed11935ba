"""Step `k3s`: every machine in the cluster, running the pinned release."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from zave.engine.step import Probe, StepRun, digest
from zave.ports import Hypervisor
from zave.ports.machines import Machine, Machines, Release
from zave.steps.site import Site

# what each machine was when its host key was pinned: one that was made anew has another key
_PINNED = "k3s.machines"
# how a machine is that somebody stopped, or that stopped by itself
_OFF = frozenset({"shut off", "crashed", "paused", "suspended"})


@dataclass(frozen=True)
class K3s:
    """Joins the machines, and upgrades them when the release changes.

    `release` is asked when it is needed: a teardown must not depend on where releases come from.
    """

    site: Site
    hypervisor: Hypervisor
    machines: Machines
    wanted: Sequence[Machine]
    release: Callable[[], Release]
    name: str = "k3s"
    needs: tuple[str, ...] = ("infra",)

    def fingerprint(self) -> str:
        """Covers the release and which machines there are; the probe knows those that were made anew."""
        return digest([asdict(self.release()), [asdict(machine) for machine in self.wanted]])

    def change(self, outputs: Mapping[str, Any]) -> str | None:
        """What the fingerprint covers and `outputs` were not made with, in words."""
        before, after = outputs.get("release"), self.release().version
        if before is not None and before != after:
            return f"k3s {before} -> {after}"
        known = {machine["name"] for machine in outputs.get("machines", ())}
        names = {machine.name for machine in self.wanted}
        told = [f"{name} is new" for name in sorted(names - known)]
        told += [f"{name} goes" for name in sorted(known - names)]
        return ", ".join(told) or None

    def probe(self, outputs: Mapping[str, Any]) -> Probe:
        """Each machine is the one that joined, and says that it runs the release."""
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
        self.machines.join(self.wanted, release=release, say=run.say)
        return {
            "release": release.version,
            "machines": [{**asdict(m), "identity": there.get(m.name)} for m in self.wanted],
        }

    def undo(self, run: StepRun) -> None:
        """Drop the host keys: the machines go with what Terraform made."""
        self.machines.forget(self.wanted)
        self.site.store.delete_fact(self.site.instance, _PINNED)

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
