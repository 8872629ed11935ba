"""A network on another host is reached by a route of its own, or not at all."""

import pytest

from zave.hypervisor import LibvirtHypervisor
from zave.hypervisor.routes import has_route
from zave.process import ProcessRunner

# proc(5): 0.0.0.0/0, 192.168.1.0/24, 10.17.0.0/16, and 10.99.0.0/16 that is down
TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0000110A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
wg1\t0000630A\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


@pytest.mark.parametrize(
    ("network", "routed"),
    [
        ("10.17.3.0/24", True),
        ("192.168.1.0/24", True),
        # a part of it is not all of it, and the default route leads past it
        ("10.16.0.0/15", False),
        ("172.16.0.0/24", False),
        ("10.99.0.0/16", False),
    ],
)
def test_only_a_route_of_its_own_counts(network: str, *, routed: bool) -> None:
    assert has_route(TABLE, network) is routed
    assert not has_route("", network)


def test_a_host_that_is_this_machine_needs_no_route() -> None:
    here = LibvirtHypervisor("qemu:///system", runner=ProcessRunner())
    there = LibvirtHypervisor("qemu+ssh://lab.example.org/system", runner=ProcessRunner())
    # TEST-NET-2 (RFC 5737): nobody has a route to it
    assert here.reaches("198.51.100.0/24")
    assert not there.reaches("198.51.100.0/24")
