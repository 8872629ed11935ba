"""Rehearsed machines from inside: k3s joins in virtual time, and the world remembers who has it."""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zave.clock import rfc3339
from zave.errors import PreconditionError, StepFailedError, ToolFailedError
from zave.ports.machines import Artifacts, Configuration, Machine, MachineState, Release, Say
from zave.rehearsal.clock import microseconds
from zave.rehearsal.durations import seconds_for
from zave.rehearsal.sites import JOINED, LabMachine, LibvirtSite
from zave.rehearsal.world import World

_INJECTED = "an injected fault of this rehearsal: zave rehearse faults shows and clears them"
# what a snapshot takes of the world: who is in the cluster, and its Flux
_FLUX = "cluster"
_LARGEST_SNAPSHOT = 1 << 20
_RELEASE = re.compile(r"v1\.[0-9]+\.[0-9]+\+k3s[0-9]+")
# what a shell on a rehearsed machine does: say what it would have done
_SHELL = "import sys; print(' '.join(sys.argv[1:]))"


class SimulatedReleases:
    """Implements `zave.ports.machines.Releases` without asking anybody."""

    def resolve(self, *, version: str, artifacts: Artifacts) -> Release:
        """A release stays itself; a channel becomes one that cannot be: k3s counts its builds from 1."""
        whole = version if _RELEASE.fullmatch(version) else f"{version}.0+k3s0"
        location = artifacts.folder or artifacts.url
        origin = "folder" if artifacts.folder else "url" if artifacts.url else "vendor"
        return Release(whole, "0" * 64, origin, location)  # type: ignore[arg-type]  # one of the three


@dataclass(frozen=True)
class _Wanted:
    """What machines are to run, as the world remembers it."""

    version: str
    configuration: Configuration

    def digest(self, machine: Machine) -> str | None:
        """That of k3s' files on the machine; None where nothing is said of them."""
        files = self.configuration.get(machine.name)
        if files is None:
            return None
        return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()

    def differs(self, joined: Mapping[str, Any] | None, machine: Machine) -> bool:
        """Whether a machine joined with another configuration than it is to have."""
        wanted, known = self.digest(machine), (joined or {}).get("configuration")
        return wanted is not None and known is not None and known != wanted


class SimulatedMachines:
    """Implements `zave.ports.machines.Machines` over the libvirt host of a world.

    `check` refuses a step from one release to another, for a machine, that real machines refuse
    (`zave.k3s.versions.check_step`).
    """

    def __init__(
        self, world: World, *, instance: str, check: Callable[[str, str, str], None] | None = None
    ) -> None:
        self._world = world
        self._instance = instance
        self._check = check
        self._site = LibvirtSite(world)

    def join(
        self,
        machines: Sequence[Machine],
        *,
        release: Release,
        say: Say,
        configuration: Configuration | None = None,
    ) -> None:
        """Wait for cloud-init; change who has joined, one by one; then join: control plane first."""
        there = self._running(machines)
        before = self._site.joined(self._instance)
        wanted = _Wanted(release.version, configuration or {})
        fresh = [m for m in machines if there[m.name].identity not in before]
        older = [m for m in machines if _release_at(before, there[m.name]) not in (None, release.version)]
        if self._check is not None:
            for machine in older:
                self._check(str(_release_at(before, there[machine.name])), release.version, machine.name)
        changed = [m for m in machines if wanted.differs(before.get(there[m.name].identity), m)]
        if fresh:
            say(f"waiting for cloud-init on {len(fresh)} machines (simulated)", 0.0)
            self._sleep_until(max(_booted_at(there[m.name]) for m in fresh))
        if older or changed:
            say("taking a snapshot of the datastore (simulated)", None)
        behind = [machine for machine in machines if machine in older or machine in changed]
        for each in sorted(behind, key=lambda machine: machine.role == "worker"):
            verb = "upgrade" if each in older else "restart"
            self._bring_in([each], there, wanted, say=say, verb=verb)
        for each in [m for m in fresh if m.role == "control-plane"]:
            self._bring_in([each], there, wanted, say=say, verb="join")
        workers = [m for m in fresh if m.role == "worker"]
        if workers:
            self._bring_in(workers, there, wanted, say=say, verb="join")

    def leave(self, going: Sequence[Machine], staying: Sequence[Machine], *, say: Say) -> None:
        """Drain those that are in the cluster and run."""
        there, joined = self._there(), self._site.joined(self._instance)
        for machine in going:
            found = there.get(machine.name)
            if found is not None and found.runs and found.identity in joined:
                say(f"draining {machine.name} (simulated)", None)
                self._world.clock.sleep(seconds_for("machine.k3s", "drain", machine.name))
                self._world.note("drain", "k3s", machine.name)

    def look(self, machines: Sequence[Machine]) -> Sequence[MachineState]:
        """What the world knows of each, at once."""
        there = self._there()
        joined = self._site.joined(self._instance)
        states = []
        for machine in machines:
            found = there.get(machine.name)
            if found is None or not found.runs:
                problem = "there is no such machine" if found is None else "the machine is off"
                states.append(MachineState(machine.name, problem=problem))
                continue
            release = _release_at(joined, found)
            states.append(MachineState(machine.name, release, running=release is not None))
        return states

    def snapshot(self, machines: Sequence[Machine], destination: Path) -> None:
        """The cluster's documents as a file that says what it is."""
        self._running([machine for machine in machines if machine.role == "control-plane"][:1])
        document = {
            "simulated": "by a rehearsal: this is no datastore of k3s",
            "instance": self._instance,
            "cluster": self._identity(machines),
            "taken_at": rfc3339(self._world.clock.now()),
            "flux": self._world.get_document(_FLUX, self._instance),
        }
        self._world.clock.sleep(seconds_for("machine.k3s", "snapshot", self._instance))
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)
        self._world.note("snapshot", _FLUX, self._instance)

    def is_of_former(self, machines: Sequence[Machine], source: Path) -> bool:
        """Whether the file is of an earlier control plane. Refuses another instance's, and no snapshot."""
        self._running([machine for machine in machines if machine.role == "control-plane"][:1])
        document = _read_snapshot(source)
        if document["instance"] != self._instance:
            raise PreconditionError(
                f"{source.name} is a snapshot of another cluster",
                where=str(source),
                details=f"it is of {document['instance']}",
                resolution=f"name a snapshot of {self._instance}: zave snapshot {self._instance} takes one",
            )
        return bool(document["cluster"] != self._identity(machines))

    def restore(
        self, machines: Sequence[Machine], source: Path, *, say: Say, take_over: bool = False
    ) -> None:
        """Put the documents back. Refuses what `is_of_former` refuses, and that without `take_over`."""
        self._running(machines)
        document = _read_snapshot(source)
        if self.is_of_former(machines, source) and not take_over:
            raise PreconditionError(
                f"{source.name} is of an earlier control plane of {self._instance}",
                where=str(source),
                resolution="agree to that it takes over from the one that runs now: zave restore asks",
            )
        say("stopping k3s, restoring the datastore, starting k3s on all machines (simulated)", None)
        self._world.clock.sleep(seconds_for("machine.k3s", "restore", self._instance))
        with self._world.transaction() as ledger:
            if document["flux"] is None:
                ledger.delete_document(_FLUX, self._instance)
            else:
                first = self._site.control_plane(self._instance)
                # it is in this control plane from now on, whichever it was in
                moved = {} if first is None else {"machine": first.key}
                ledger.put_document(_FLUX, self._instance, {**document["flux"], **moved})
            ledger.log("restore", _FLUX, self._instance)

    def shell(self, machine: Machine, command: Sequence[str]) -> Sequence[str]:
        """A program that says what would have happened: nothing listens on a simulated machine."""
        what = f"run there: {' '.join(command)}" if command else "open a shell"
        told = f"simulated: ssh to {machine.name} ({machine.address}) would {what}"
        return [sys.executable, "-I", "-c", _SHELL, told]

    def forget(self, machines: Sequence[Machine]) -> None:
        """Nothing is pinned here; what the world knew of machines that are gone goes."""
        there = {machine.identity for machine in self._there().values()}
        joined = self._site.joined(self._instance)
        left = {identity: entry for identity, entry in joined.items() if identity in there}
        if left != joined:
            self._world.put_document(JOINED, self._instance, left)

    # within

    def _there(self) -> dict[str, LabMachine]:
        return {machine.name: machine for machine in self._site.machines(self._instance)}

    def _running(self, machines: Sequence[Machine]) -> dict[str, LabMachine]:
        there = self._there()
        for machine in machines:
            found = there.get(machine.name)
            if found is None or not found.runs:
                raise StepFailedError(
                    f"{machine.name} does not answer: "
                    + ("there is no such machine" if found is None else "the machine is off"),
                    where=f"{machine.address}, in the simulated world",
                    resolution=f"zave up {self._instance} makes it again or starts it",
                )
        return there

    def _bring_in(
        self,
        machines: Sequence[Machine],
        there: Mapping[str, LabMachine],
        wanted: "_Wanted",
        *,
        say: Say,
        verb: str,
    ) -> None:
        """Join, upgrade or restart machines side by side; they are in the cluster when all are done."""
        names = ", ".join(machine.name for machine in machines)
        what = "its new configuration" if verb == "restart" else f"k3s {wanted.version}"
        say(f"{verb} {names}: {what} (simulated)", None)
        took = 0.0
        for machine in machines:
            disturbed = self._world.faults.take("join", "k3s", machine.name)
            if disturbed.fault is not None:
                self._world.note("fault", "k3s", machine.name, detail=str(disturbed.fault))
            if failing := disturbed.struck("fail"):
                raise StepFailedError(
                    f"k3s did not start on {machine.name}",
                    details=failing.message,
                    where=machine.address,
                    resolution=_INJECTED,
                )
            if hanging := disturbed.struck("hang"):
                self._world.clock.hang(hanging.seconds)
                raise ToolFailedError(
                    f"k3s on {machine.name} did not become active in time",
                    where=machine.address,
                    resolution=_INJECTED,
                )
            took = max(took, seconds_for("machine.k3s", verb, machine.name) * disturbed.factor)
        self._world.clock.sleep(took)
        now = microseconds(self._world.clock.timestamp())
        with self._world.transaction() as ledger:
            # read again within: who was killed meanwhile has written nothing, who was not has
            joined = dict(ledger.document(JOINED, self._instance) or {})
            for machine in machines:
                joined[there[machine.name].identity] = {
                    "release": wanted.version,
                    "at": now,
                    "configuration": wanted.digest(machine),
                }
                ledger.log(verb, "k3s", machine.name, detail=wanted.version)
            ledger.put_document(JOINED, self._instance, joined)

    def _sleep_until(self, moment: float) -> None:
        self._world.clock.sleep(moment - self._world.clock.timestamp())

    def _identity(self, machines: Sequence[Machine]) -> str:
        """What a snapshot is of: as k3s' token, it changes when the control plane is made anew."""
        there = self._there()
        first = next(there[m.name].identity for m in machines if m.role == "control-plane")
        return hashlib.sha256(json.dumps([self._instance, first]).encode()).hexdigest()[:16]


def _booted_at(machine: LabMachine) -> float:
    seconds = seconds_for("machine.cloud-init", "done", machine.name)
    return microseconds(machine.domain.ready_at.timestamp() + seconds)


def _release_at(joined: Mapping[str, Any], machine: LabMachine) -> str | None:
    entry = joined.get(machine.identity)
    return None if entry is None else str(entry["release"])


def _read_snapshot(source: Path) -> dict[str, Any]:
    refused = PreconditionError(
        f"{source.name} is no snapshot of a rehearsal",
        where=str(source),
        resolution="zave snapshot ENV writes one",
    )
    try:
        with source.open("rb") as file:
            found = json.loads(file.read(_LARGEST_SNAPSHOT))
    except OSError as error:
        raise PreconditionError(
            f"{source.name} cannot be read: {error.strerror}",
            where=str(source),
            resolution="name the file that zave snapshot wrote",
        ) from error
    except ValueError as error:
        raise refused from error
    if not isinstance(found, dict) or not {"simulated", "instance", "cluster", "flux"} <= found.keys():
        raise refused
    return found
