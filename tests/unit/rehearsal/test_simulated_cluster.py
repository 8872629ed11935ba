from collections.abc import Callable
from typing import Any

import pytest
import yaml

from zave.errors import StepFailedError
from zave.ports.machines import Machine, Release
from zave.rehearsal.cluster import SimulatedCluster
from zave.rehearsal.machines import SimulatedMachines
from zave.rehearsal.world import Draft, World

DraftOf = Callable[..., Draft]
RELEASE = Release("v1.35.9+k3s1", "0" * 64, "vendor")


@pytest.fixture
def cluster(world: World) -> SimulatedCluster:
    return SimulatedCluster(world)


def join(world: World, *names: str) -> None:
    """Bring machines of the home lab into its cluster."""
    machines = [
        Machine(f"homelab-{name}", "worker" if name.startswith("worker") else "control-plane", "")
        for name in names
    ]
    SimulatedMachines(world, instance="homelab").join(
        machines, release=RELEASE, say=lambda _text, _fraction: None
    )


@pytest.fixture
def homelab(world: World, draft: DraftOf) -> World:
    """A world with one control plane and two workers that have joined."""
    hosts = [{"mac": f"52:54:00:00:00:0{n}", "ip": f"10.17.3.1{n}"} for n in (1, 2, 3)]
    ips = [{"address": "10.17.3.1", "prefix": 24, "dhcp": {"hosts": hosts}}]
    world.create(draft("lab", type="libvirt_network", ips=ips))
    for number, name in enumerate(("worker-2", "worker-1", "control-plane-1"), start=1):
        mac = {"address": f"52:54:00:00:00:0{number}"}
        interface = {"mac": mac, "source": {"network": {"network": "lab"}}}
        world.create(draft(f"zave-homelab-{name}", running=True, devices={"interfaces": [interface]}))
    join(world, "control-plane-1", "worker-1", "worker-2")
    return world


def test_kubeconfig_names_the_endpoint_and_says_that_it_is_simulated(
    homelab: World, cluster: SimulatedCluster
) -> None:
    endpoint = "https://10.17.3.11:6443"
    text = cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": endpoint})
    assert text.startswith("# simulated")
    document: Any = yaml.safe_load(text)
    assert document["current-context"] == "zave-homelab"
    assert document["clusters"][0]["cluster"]["server"] == endpoint
    (context,) = document["contexts"]
    assert context == {"name": "zave-homelab", "context": {"cluster": "zave-homelab", "user": "zave-homelab"}}
    assert set(document["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_hostile_endpoint_stays_a_string_in_the_kubeconfig(homelab: World, cluster: SimulatedCluster) -> None:
    endpoint = 'https://x"\nusers: []\n# \u2028'
    text = cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": endpoint})
    assert yaml.safe_load(text)["clusters"][0]["cluster"]["server"] == endpoint


@pytest.mark.parametrize("outputs", [{}, {"cluster_endpoint": ""}, {"cluster_endpoint": 3}])
def test_kubeconfig_needs_an_endpoint(
    homelab: World, cluster: SimulatedCluster, outputs: dict[str, object]
) -> None:
    with pytest.raises(StepFailedError, match="cluster_endpoint"):
        cluster.kubeconfig(instance="homelab", outputs=outputs)


def test_without_a_control_plane_nothing_answers(cluster: SimulatedCluster) -> None:
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": "https://x"})
    assert cluster.nodes(instance="homelab") == []


def test_nodes_are_the_instances_machines_control_plane_first(
    homelab: World, cluster: SimulatedCluster, draft: DraftOf
) -> None:
    # others whose names only look alike
    for name in ("zave-homelab-2-worker-1", "zave-home-worker-1", "zave-homelab-worker-1-old"):
        homelab.create(draft(name, running=True))
    homelab.create(draft("zave-homelab-worker-1", type="libvirt_volume"))
    assert [(n.name, n.role, n.address, n.state) for n in cluster.nodes(instance="homelab")] == [
        ("homelab-control-plane-1", "control-plane", "10.17.3.13", "Ready"),
        ("homelab-worker-1", "worker", "10.17.3.12", "Ready"),
        ("homelab-worker-2", "worker", "10.17.3.11", "Ready"),
    ]


def test_instance_name_is_no_pattern(homelab: World, cluster: SimulatedCluster) -> None:
    assert cluster.nodes(instance="home.*") == []
    assert cluster.nodes(instance="h(") == []


def test_machine_is_a_node_only_once_it_has_joined(
    world: World, cluster: SimulatedCluster, draft: DraftOf
) -> None:
    for name in ("control-plane-1", "worker-1"):
        world.create(draft(f"zave-homelab-{name}", running=True))
    world.clock.sleep(3600)
    assert cluster.nodes(instance="homelab") == []
    join(world, "control-plane-1")
    names = [(node.name, node.state) for node in cluster.nodes(instance="homelab")]
    assert names == [("homelab-control-plane-1", "Ready")]
    join(world, "control-plane-1", "worker-1")
    assert [node.state for node in cluster.nodes(instance="homelab")] == ["Ready", "Ready"]


def test_node_whose_machine_is_off_is_not_ready(homelab: World, cluster: SimulatedCluster) -> None:
    homelab.stop("libvirt_domain", "zave-homelab-worker-1")
    homelab.lose("libvirt_domain", "zave-homelab-worker-2")
    assert [(node.name, node.state) for node in cluster.nodes(instance="homelab")] == [
        ("homelab-control-plane-1", "Ready"),
        ("homelab-worker-1", "NotReady"),
    ]


def test_nothing_answers_where_no_control_plane_has_joined(
    world: World, cluster: SimulatedCluster, draft: DraftOf
) -> None:
    world.create(draft("zave-homelab-control-plane-1", running=True))
    world.clock.sleep(3600)
    with pytest.raises(StepFailedError, match="no control plane of homelab"):
        cluster.kubeconfig(instance="homelab", outputs={"cluster_endpoint": "https://x"})
