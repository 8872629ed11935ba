"""A real libvirt host through libvirt-python: what exists, what it can still take, consoles.

libvirt-python is optional: it is imported when the first connection is opened.
"""

from zave.hypervisor.host import LibvirtHypervisor

__all__ = ["LibvirtHypervisor"]
