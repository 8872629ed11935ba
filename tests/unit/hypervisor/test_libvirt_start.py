"""Starting machines whose network is off as well, as after a host was rebooted."""

from typing import Any

from tests.unit.hypervisor.conftest import Host, domain, network


def test_a_machine_takes_its_own_network_along(host: Host) -> None:
    interface = "<interface type='network'><source network='lab'/></interface>"
    machine = domain("off", 1, running=False).replace("<os>", f"<devices>{interface}</devices><os>")
    hypervisor = host(machine, network("lab", 2), network("neighbour", 3))
    connection: Any = hypervisor._connection.use()
    for name in ("lab", "neighbour"):
        connection.networkLookupByName(name).destroy()

    hypervisor.start("off")

    assert connection.lookupByName("off").isActive()
    assert connection.networkLookupByName("lab").isActive()
    # somebody switched it off for a reason that is not ours
    assert not connection.networkLookupByName("neighbour").isActive()


def test_a_network_that_is_gone_is_told_by_the_machine_that_wants_it(host: Host) -> None:
    interface = "<interface type='network'><source network='gone'/></interface>"
    machine = domain("off", 1, running=False).replace("<os>", f"<devices>{interface}</devices><os>")
    # the simulator starts it all the same; what matters is that looking for the network is no failure
    host(machine).start("off")
