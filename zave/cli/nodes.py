"""The machines of a home lab, as several verbs name and reach them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zave.cli.context import Context
from zave.errors import PreconditionError, UsageError

if TYPE_CHECKING:
    from zave.ports import Hypervisor
    from zave.ports.machines import Machine, Machines
    from zave.state.records import InstanceRecord


@dataclass(frozen=True)
class Lab:
    """A recorded home lab: its machines as its spec names them, and how they are reached."""

    instance: str
    wanted: "Sequence[Machine]"
    machines: "Machines"
    hypervisor: "Hypervisor"

    def machine(self, name: str) -> "Machine":
        """The machine that `name` means: its whole name, `worker-2`, or a role that only one has.

        Raises UsageError with the names that there are.
        """
        exact = [m for m in self.wanted if name in (m.name, m.name.removeprefix(f"{self.instance}-"))]
        found = exact or [m for m in self.wanted if m.role == name]
        if len(found) == 1:
            return found[0]
        names = ", ".join(m.name.removeprefix(f"{self.instance}-") for m in self.wanted)
        raise UsageError(
            f"{name} is {len(found)} machines of {self.instance}"
            if found
            else f"{self.instance} has no machine {name}",
            resolution=f"name one of: {names}",
        )


def lab_of(zave: Context, instance: str) -> Lab:
    """The lab that is recorded as `instance`. Raises UsageError where there are no such machines."""
    record = standing_lab(zave, instance)
    wanted = wanted_machines(zave, record)
    tools = zave.recorded_tools(record)
    if tools.machines is None or tools.hypervisor is None:
        raise PreconditionError(f"the machines of {instance} cannot be reached from here")
    return Lab(instance, wanted, tools.machines, tools.hypervisor)


def wanted_machines(zave: Context, record: "InstanceRecord") -> "Sequence[Machine]":
    """The machines that the recorded spec of a home lab wants."""
    from zave.platforms.libvirt_machines import machines_of
    from zave.spec.load import spec_from_document

    where, kept = f"record of {record.name}", zave.directory.checked_specs
    spec = spec_from_document(record.spec, where=where, kept=kept)
    return machines_of(spec, record.name) if spec.platform == "libvirt-k3s" else ()


def standing_lab(zave: Context, instance: str) -> "InstanceRecord":
    """The record of a home lab that may have machines. Raises UsageError for anything else."""
    record = zave.instances.record(instance)
    if record.platform != "libvirt-k3s":
        raise UsageError(
            f"{instance} is on {record.platform}: AWS runs its machines",
            resolution=f"zave exec {instance} -- kubectl debug node/NAME -it --image=busybox",
        )
    if record.phase in ("absent", "destroyed"):
        raise UsageError(
            f"{instance} is {record.phase}: it has no machines", resolution=f"zave up {instance} makes them"
        )
    return record


def tell_simulated(zave: Context, what: str) -> None:
    """Say on stderr, where it is a rehearsal, what is not real."""
    if zave.rehearsal and not zave.options.quiet:
        sys.stderr.write(f"rehearsal: {what}\n")
