"""The `Hypervisor` port over libvirt."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

from zave.hypervisor.connection import Connection
from zave.hypervisor.inventory import TYPES, items
from zave.ports import Capacity, Item, Runner


class LibvirtHypervisor:
    """Implements `zave.ports.Hypervisor` for the host behind `uri`.

    Connects when first asked; every answer is libvirt's of that moment. Only whether KVM works is asked
    once: `runner` starts the program that tries it. Errors that libvirt's absence causes are
    PreconditionError.
    """

    def __init__(self, uri: str, *, runner: Runner) -> None:
        self._connection = Connection(uri)
        self._runner = runner

    @property
    def source(self) -> str:
        """How receipts name it."""
        return self._connection.where

    @property
    def types(self) -> frozenset[str]:
        """What a libvirt host has. A cloud-init ISO is a file on Terraform's machine."""
        return TYPES

    def items(self) -> Sequence[Item]:
        """Everything on the host, whoever made it; a domain without a lease has no address."""
        return items(self._connection)

    def delete(self, item: Item) -> None:
        """Delete exactly `item`: its type, name, id and pool must match. A domain is switched off first."""
        from zave.hypervisor.deletion import delete

        delete(item, self._connection)

    def how_to_delete(self, item: Item) -> str:
        """The virsh command line for it."""
        from zave.hypervisor.deletion import how_to_delete

        return how_to_delete(item, self._connection)

    def capacity(self, *, pool: str) -> Capacity:
        """Memory that can be had without swapping, processors, free bytes under `pool`."""
        from zave.hypervisor.capacity import capacity

        return capacity(self._connection, pool=pool, acceleration=self._acceleration)

    def console(self, name: str, *, seconds: float) -> Iterator[bytes]:
        """What the machine wrote since it was started, then what it writes; empty chunks while it is silent.

        Nobody else's console is disturbed.
        """
        from zave.hypervisor.console import console

        return console(self._connection, name, seconds=seconds)

    def reaches(self, network: str) -> bool:
        """Always on this machine; to another host's network only by a route of its own.

        The route to everywhere leads past it: what libvirt calls NAT is known to that host alone.
        """
        from zave.hypervisor.routes import has_route, read_table

        return not self._connection.remote or has_route(read_table(), network)

    def start(self, name: str) -> None:
        """Start, resume or wake the machine `name`."""
        from zave.hypervisor.power import start

        start(self._connection, name)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    @cached_property
    def _acceleration(self) -> Literal["kvm", "qemu"]:
        from zave.hypervisor.capacity import offers_kvm
        from zave.hypervisor.kvm import kvm_works

        if not offers_kvm(self._connection):
            return "qemu"
        # libvirt asks QEMU, which opens /dev/kvm and believes it
        if self._connection.on_this_machine and kvm_works(self._runner) is False:
            return "qemu"
        return "kvm"
