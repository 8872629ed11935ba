"""The machines of a home lab, as the ports know them."""

from typing import TYPE_CHECKING

from zave.platforms.libvirt_values import nodes_of
from zave.ports.machines import Machine

if TYPE_CHECKING:
    from zave.spec.libvirt import LibvirtSpec


def machines_of(spec: "LibvirtSpec", instance: str) -> tuple[Machine, ...]:
    """The machines that the spec wants, control plane first. Raises SpecError as `nodes_of` does."""
    return tuple(Machine(node.name, node.role, node.address) for node in nodes_of(spec, instance))
