"""Which networks this machine has a route of its own to, as the kernel says."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_TABLE = Path("/proc/net/route")
_DESTINATION, _FLAGS, _MASK, _FIELDS = 1, 3, 7, 8
_UP = 1


def read_table() -> str:
    """The kernel's table of routes; nothing where there is none to read."""
    try:
        return _TABLE.read_text()
    except OSError:
        return ""


def has_route(table: str, network: str) -> bool:
    """Whether a route leads to all of `network`; the one that leads everywhere does not count.

    `table` is what proc(5) calls `/proc/net/route`: addresses in hexadecimal, in the processor's order.
    """
    wanted = IPv4Network(network)
    return any(wanted.subnet_of(known) for known in _networks(table) if known.prefixlen)


def _networks(table: str) -> list[IPv4Network]:
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) < _FIELDS or not int(fields[_FLAGS], 16) & _UP:
            continue
        address, mask = _address(fields[_DESTINATION]), _address(fields[_MASK])
        found.append(IPv4Network(f"{address}/{mask}", strict=False))
    return found


def _address(text: str) -> IPv4Address:
    return IPv4Address(bytes.fromhex(text)[::-1])
